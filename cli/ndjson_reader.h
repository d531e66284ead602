// Lines of JSON from a file or standard input.
#ifndef CLI_NDJSON_READER_H_
#define CLI_NDJSON_READER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace messaging::cli {

// Reads up to `size` bytes to `to`; 0 at the end.
using ByteSource = std::function<absl::StatusOr<size_t>(char* to, size_t size)>;

// Reads `fd`. Cancelled as soon as `stop_fd` is readable (-1: never), also while it waits for input. Not owned.
ByteSource FdSource(int fd, int stop_fd);

class NdjsonReader {
 public:
  struct Line {
    int64_t number = 0;     // From 1, as an editor counts.
    std::string_view text;  // Without its end and the blanks around it. Until the next call.
    absl::Status status;    // InvalidArgument: it is not JSON, and why.
  };

  // A line longer than `longest` is malformed; it is skipped without being held in memory.
  // `json` false: any text is a line, with the blanks around it.
  explicit NdjsonReader(ByteSource source, size_t longest = 64 << 20, bool json = true);

  // The next line that is not blank; nullopt at the end. An error is the source's.
  absl::StatusOr<std::optional<Line>> Next();
  int64_t bytes_read() const { return bytes_read_; }

 private:
  // The next line as it is, without its end; nullopt at the end of the input.
  absl::StatusOr<std::optional<std::string_view>> NextRaw();

  const ByteSource source_;
  const size_t longest_;
  const bool json_;
  std::string buffer_;
  size_t start_ = 0;    // Of what is not yet returned.
  size_t scanned_ = 0;  // No line ends between start_ and here.
  bool ended_ = false;
  bool too_long_ = false;  // The line at hand is being skipped.
  int64_t number_ = 0;
  int64_t bytes_read_ = 0;
};

}  // namespace messaging::cli

#endif  // CLI_NDJSON_READER_H_
