// Something that happened, as a descriptor that poll can wait for.
#ifndef CLI_EVENT_H_
#define CLI_EVENT_H_

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

namespace messaging::cli {

// Thread-safe.
class Event {
 public:
  Event() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Event() { close(fd_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // Makes fd() readable for good.
  void Post() {
    const uint64_t one = 1;
    (void)!write(fd_, &one, sizeof one);
  }
  int fd() const { return fd_; }

 private:
  const int fd_;
};

}  // namespace messaging::cli

#endif  // CLI_EVENT_H_
