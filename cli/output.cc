#include "cli/output.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace messaging::cli {

absl::Status Output::Write(std::string_view text) {
  absl::MutexLock lock(&mutex_);
  while (status_.ok() && !text.empty()) {
    const ssize_t written = write(fd_, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN) {  // Somebody else made the shared descriptor non-blocking.
      pollfd wait{.fd = fd_, .events = POLLOUT};
      (void)poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      const char* why = errno == EPIPE || errno == EBADF ? "was closed" : strerror(errno);
      status_ = absl::UnavailableError(absl::StrCat(name_, ": ", why));
    }
  }
  return status_;
}

bool Output::is_terminal() const { return isatty(fd_) == 1; }

bool Output::is_closed() const {
  pollfd end{.fd = fd_, .events = 0};
  return poll(&end, 1, 0) > 0 && end.revents != 0;
}

absl::Status Output::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

}  // namespace messaging::cli
