#include "cli/input.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace messaging::cli {

absl::StatusOr<Input> OpenInput(const std::string& file, int standard_input, int stop_fd) {
  if (file.empty() || file == "-") return Input{.source = FdSource(standard_input, stop_fd), .name = "standard input"};
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);  // Open until the program ends.
  struct stat about = {};
  if (fd < 0 || fstat(fd, &about) != 0) return absl::NotFoundError(absl::StrCat(file, ": ", strerror(errno)));
  if (S_ISDIR(about.st_mode)) return absl::NotFoundError(absl::StrCat(file, ": is a folder"));
  return Input{.source = FdSource(fd, stop_fd), .name = file, .total_bytes = about.st_size};
}

}  // namespace messaging::cli
