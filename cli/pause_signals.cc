#include "cli/pause_signals.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

namespace messaging::cli {
namespace {

std::atomic<int> last{0};  // The number of the last one, or zero.
std::atomic<int> event{-1};
struct sigaction before_pause, before_resume;

// Only what is safe in a signal handler.
void OnSignal(int number) {
  const int saved = errno;
  last = number;
  const uint64_t one = 1;
  (void)!write(event, &one, sizeof one);
  errno = saved;
}

}  // namespace

PauseSignals::PauseSignals() {
  last = 0;
  event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGUSR1, &action, &before_pause);
  sigaction(SIGUSR2, &action, &before_resume);
}

PauseSignals::~PauseSignals() {
  sigaction(SIGUSR1, &before_pause, nullptr);
  sigaction(SIGUSR2, &before_resume, nullptr);
  close(event.exchange(-1));
}

int PauseSignals::fd() const { return event; }

std::optional<bool> PauseSignals::Take() {
  uint64_t count = 0;
  (void)!read(event, &count, sizeof count);  // First: a signal that comes now is told again.
  const int number = last.exchange(0);
  if (number == 0) return std::nullopt;
  return number == SIGUSR1;
}

}  // namespace messaging::cli
