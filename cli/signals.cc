#include "cli/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <limits>

#include "cli/exit_codes.h"

namespace messaging::cli {
namespace {

// Programs that pass signals on (timeout, shells, supervisors) often signal the process and its group: one request,
// twice.
constexpr int64_t kSameRequest = 20;  // Milliseconds.

std::atomic<int> first{0};
std::atomic<int> event{-1};
struct sigaction before_term, before_int;

std::atomic<int64_t> first_at{0};

int64_t Milliseconds() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

// Only what is safe in a signal handler.
void OnSignal(int number) {
  const int saved = errno;
  int none = 0;
  if (!first.compare_exchange_strong(none, number)) {
    if (Milliseconds() - first_at > kSameRequest) _exit(kSignalled + number);
    errno = saved;
    return;
  }
  first_at = Milliseconds();
  const uint64_t one = 1;
  (void)!write(event, &one, sizeof one);
  errno = saved;
}

}  // namespace

StopSignals::StopSignals() {
  first = 0;
  first_at = std::numeric_limits<int64_t>::max() / 2;  // A second signal before the first was noted: the same request.
  event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, &before_term);
  sigaction(SIGINT, &action, &before_int);
}

StopSignals::~StopSignals() {
  sigaction(SIGTERM, &before_term, nullptr);
  sigaction(SIGINT, &before_int, nullptr);
  close(event.exchange(-1));
}

int StopSignals::fd() const { return event; }
int StopSignals::number() const { return first; }

}  // namespace messaging::cli
