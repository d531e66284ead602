#include "cli/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "cli/exit_codes.h"

namespace messaging::cli {
namespace {

std::atomic<int> first{0};
std::atomic<int> event{-1};
struct sigaction before_term, before_int;

// Only what is safe in a signal handler.
void OnSignal(int number) {
  int none = 0;
  if (!first.compare_exchange_strong(none, number)) _exit(kSignalled + number);
  const int saved = errno;
  const uint64_t one = 1;
  (void)!write(event, &one, sizeof one);
  errno = saved;
}

}  // namespace

StopSignals::StopSignals() {
  first = 0;
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
