#include "messaging/dispatch/breaker.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace messaging {

bool CircuitBreaker::Record(bool ok, absl::Time now) {
  if (!enabled() || state_ == State::kOpen) return false;
  if (state_ == State::kHalfOpen) {
    if (ok) {
      state_ = State::kClosed;
      in_a_row_ = 0;
      slots_ = {};
    } else {
      Open(now);
    }
    return true;
  }
  if (!MustOpen(ok, now)) return false;
  Open(now);
  return true;
}

bool CircuitBreaker::Tick(absl::Time now) {
  if (state_ != State::kOpen || now < probe_at_) return false;
  state_ = State::kHalfOpen;
  probe_at_ = absl::InfiniteFuture();
  return true;
}

void CircuitBreaker::Open(absl::Time now) {
  state_ = State::kOpen;
  probe_at_ = now + options_.probe_after;
}

bool CircuitBreaker::MustOpen(bool ok, absl::Time now) {
  in_a_row_ = ok ? 0 : in_a_row_ + 1;
  if (options_.failures > 0 && in_a_row_ >= options_.failures) {
    why_ = absl::StrCat(in_a_row_, in_a_row_ == 1 ? " call failed" : " calls failed in a row");
    return true;
  }
  if (options_.share <= 0) return false;
  const absl::Duration step = std::max(options_.window / kSlots, absl::Nanoseconds(1));
  const int64_t number = (now - absl::UnixEpoch()) / step;
  Slot& slot = slots_[static_cast<size_t>(((number % kSlots) + kSlots) % kSlots)];
  if (slot.number != number) slot = {.number = number};
  ++slot.calls;
  if (!ok) ++slot.failed;
  int calls = 0, failed = 0;
  for (const Slot& one : slots_) {
    if (one.number <= number - kSlots || one.number > number) continue;
    calls += one.calls;
    failed += one.failed;
  }
  if (ok || calls < options_.least || failed < options_.share * calls) return false;
  why_ = absl::StrCat(failed, " of ", calls, " calls failed in ", absl::FormatDuration(options_.window));
  return true;
}

}  // namespace messaging
