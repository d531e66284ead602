// Standard output and error whose failures are seen.
#ifndef CLI_OUTPUT_H_
#define CLI_OUTPUT_H_

#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace messaging::cli {

// Writes to a file descriptor, unbuffered, each call's text in one piece. Thread-safe. Does not own the descriptor.
// SIGPIPE has to be ignored (main.cc does).
class Output {
 public:
  Output(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

  // OK when all of it was taken. Otherwise Unavailable, naming the output and why; then every later call fails alike,
  // as what was written may end in the middle of a line.
  absl::Status Write(std::string_view text);
  bool is_terminal() const;
  bool is_closed() const;  // Nobody can read it any more.
  int fd() const { return fd_; }
  absl::Status status() const;  // The first failure, or OK.

 private:
  const int fd_;
  const std::string name_;
  mutable absl::Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace messaging::cli

#endif  // CLI_OUTPUT_H_
