// A circuit breaker: a state machine over the outcomes of a handler's calls. No clock, no lock.
#ifndef MESSAGING_DISPATCH_BREAKER_H_
#define MESSAGING_DISPATCH_BREAKER_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "messaging/handler_options.h"

namespace messaging {

class CircuitBreaker {
 public:
  // kClosed: all may begin. kOpen: nothing, until probe_at. kHalfOpen: one, whose outcome decides.
  enum class State { kClosed, kOpen, kHalfOpen };

  explicit CircuitBreaker(const Breaker& options) : options_(options) {}
  bool enabled() const { return options_.failures > 0 || options_.share > 0; }
  State state() const { return state_; }
  absl::Time probe_at() const { return probe_at_; }  // kOpen only.
  // Why it opened, for people.
  const std::string& why() const { return why_; }

  // A call ended; what ends while it is open says nothing. True: the state has changed.
  bool Record(bool ok, absl::Time now);
  // Time has passed. True: the state has changed.
  bool Tick(absl::Time now);

 private:
  static constexpr int kSlots = 10;  // Of the window: it moves on by a tenth.
  struct Slot {
    int64_t number = -1;
    int calls = 0;
    int failed = 0;
  };
  void Open(absl::Time now);
  bool MustOpen(bool ok, absl::Time now);

  const Breaker options_;
  State state_ = State::kClosed;
  int in_a_row_ = 0;
  std::array<Slot, kSlots> slots_ = {};
  absl::Time probe_at_ = absl::InfiniteFuture();
  std::string why_;
};

}  // namespace messaging

#endif  // MESSAGING_DISPATCH_BREAKER_H_
