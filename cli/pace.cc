#include "cli/pace.h"

#include <poll.h>

#include <algorithm>

#include "absl/time/clock.h"

namespace messaging::cli {

Pace::Pace(double rate, const StopSignals& signals) : rate_(rate), signals_(signals), began_(absl::Now()) {}

bool Pace::Await(int64_t n, const std::function<void()>& meanwhile) const {
  if (rate_ > 0) {
    const absl::Time due = began_ + absl::Seconds(static_cast<double>(n) / rate_);
    while (signals_.number() == 0 && absl::Now() < due) {
      pollfd stop{.fd = signals_.fd(), .events = POLLIN};
      const absl::Duration left = std::clamp(due - absl::Now(), absl::Milliseconds(1), absl::Milliseconds(100));
      (void)poll(&stop, 1, static_cast<int>(absl::ToInt64Milliseconds(left)));
      if (meanwhile) meanwhile();
    }
  }
  return signals_.number() == 0;
}

}  // namespace messaging::cli
