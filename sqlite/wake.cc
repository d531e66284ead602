#include "sqlite/wake.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace messaging::sqlite {

absl::StatusOr<std::unique_ptr<Wake>> Wake::Open(const std::string& wake_file, const std::string& lock_file) {
  const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  const int inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  const int file = open(wake_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  std::unique_ptr<Wake> wake(new Wake(event, inotify, file));
  if (file < 0) return absl::PermissionDeniedError(absl::StrCat("file ", wake_file, ": ", std::strerror(errno)));
  wake->wake_watch_ = inotify_add_watch(inotify, wake_file.c_str(), IN_MODIFY);
  const int lock_watch = inotify_add_watch(inotify, lock_file.c_str(), IN_CLOSE_WRITE);
  // Without inotify (its limits are used up) the driver's safety poll does it, slower.
  (void)lock_watch;
  return wake;
}

Wake::~Wake() {
  if (event_ >= 0) close(event_);
  if (inotify_ >= 0) close(inotify_);
  if (wake_file_ >= 0) close(wake_file_);
}

Wake::Event Wake::Wait(absl::Duration limit) {
  pollfd waits[] = {{event_, POLLIN, 0}, {inotify_, POLLIN, 0}};
  const int64_t milliseconds =
      std::clamp<int64_t>(absl::ToInt64Milliseconds(absl::Ceil(limit, absl::Milliseconds(1))), 0, 60'000);
  poll(waits, 2, static_cast<int>(milliseconds));
  uint64_t count;
  (void)!read(event_, &count, sizeof count);
  Event event;
  alignas(inotify_event) char buffer[4096];
  while (true) {
    const ssize_t size = read(inotify_, buffer, sizeof buffer);
    if (size <= 0) return event;
    for (ssize_t at = 0; at < size;) {
      const auto* one = reinterpret_cast<const inotify_event*>(buffer + at);
      (one->wd == wake_watch_ ? event.others : event.ended) = true;
      at += static_cast<ssize_t>(sizeof(inotify_event)) + one->len;
    }
  }
}

void Wake::Notify() {
  const uint64_t one = 1;
  (void)!write(event_, &one, sizeof one);
}

void Wake::TellOthers() { (void)!pwrite(wake_file_, "w", 1, 0); }

}  // namespace messaging::sqlite
