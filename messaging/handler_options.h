// What a handler asks for: its topics, its retry plan, its concurrency and order.
#ifndef MESSAGING_HANDLER_OPTIONS_H_
#define MESSAGING_HANDLER_OPTIONS_H_

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <typeindex>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace messaging {

// How the delay grows from retry to retry: the n-th retry (from 1) waits retry_delay * factor^(n-1), at most `max`,
// plus a random share of up to `jitter` of it. {} waits the same each time. Never earlier than the plain delay.
struct Backoff {
  double factor = 1.0;
  absl::Duration max = absl::Hours(1);
  double jitter = 0.0;  // 0.2: up to 20 % longer.
};

// What holds for messages of one key.
enum class Order {
  kPerKey,        // Messages of one key one at a time, in order; a retried one comes back behind later ones of its key.
  kPerKeyStrict,  // Also across retries: later messages of a failing key are held until it is handled or dead-lettered.
  kNone,          // Any message at any time.
};

// A batch handler is called with up to `max` messages, as soon as there are so many or the first has waited for `wait`.
struct Batch {
  size_t max = 100;
  absl::Duration wait = absl::Milliseconds(20);
};

// When everything fails, a handler pauses instead of sending its messages to the dead letters. Failures are outcomes
// that would be retried; permanent ones and what does not decode say nothing about the handler. The breaker opens at
// either of the two conditions. Then nothing is begun, and what failed waits in hand as if it had not been tried: no
// attempt is counted while it is open. After `probe_after` one message is tried: OK closes it, a failure waits once
// more. Each process has its own.
struct Breaker {
  int failures = 0;  // So many failed in a row. 0: this condition is off. At most max_retries + 1 saves every message.
  double share = 0;  // Of the last `window`'s outcomes, of which there were at least `least`. 0: off. 0.5: half.
  int least = 20;
  absl::Duration window = absl::Seconds(30);
  absl::Duration probe_after = absl::Seconds(30);
};

// Messages a second over a longer time; after a pause `burst` may come at once. Others' work is not held up meanwhile.
struct RateLimit {
  double per_second = 0;  // 0: as fast as it can.
  int burst = 1;          // A batch has at most so many messages.
};

// A check of the decoded message, `absl::Status Check(const T&)`, as a value. Not OK: to the dead letters, no retry.
class Validator {
 public:
  Validator() = default;
  template <typename T>
  Validator(absl::Status (*check)(const T&))  // NOLINT: implicit, so that `.validate = &Check` reads well.
      : type_(typeid(T)), check_([check](const void* message) { return check(*static_cast<const T*>(message)); }) {}
  explicit operator bool() const { return check_ != nullptr; }
  std::type_index type() const { return type_; }  // A handler of another type is refused at registration.
  absl::Status operator()(const void* message) const { return check_(message); }

 private:
  std::type_index type_ = typeid(void);
  std::function<absl::Status(const void*)> check_;
};

// As MESSAGE_HANDLER and MakeHandler take it; only topics have to be given.
struct HandlerOptions {
  std::vector<std::string> topics;

  // What it promises.
  int max_retries = 3;                            // At most max_retries + 1 attempts; 0: none but the first.
  absl::Duration retry_delay = absl::Seconds(1);  // Kept by the broker: nothing behind the failing message waits.
  Backoff backoff;
  Order order = Order::kPerKey;
  // These are not retried. Everything else is, except that Cancelled while draining is a release.
  std::vector<absl::StatusCode> permanent = {absl::StatusCode::kInvalidArgument, absl::StatusCode::kOutOfRange,
                                             absl::StatusCode::kUnimplemented, absl::StatusCode::kDataLoss};
  // Each message id once, whatever is redelivered: takes an injected object that can mark it in the transaction of the
  // effects (inbox/inbox.h). A message without an id is a dead letter. Not for batches.
  bool idempotent = false;
  Validator validate;  // Or a function Validate(const T&) beside the type T, found by argument-dependent lookup.
  // A deadline that the handler sees (Received::deadline) and should keep: nothing interrupts it, an outcome that comes
  // later counts all the same, and is logged. Infinite: none.
  absl::Duration timeout = absl::InfiniteDuration();
  Breaker breaker;  // {.failures = 4}: four in a row open it. None by default.

  // How fast.
  int concurrency = 0;   // Calls at once, at most. 0: as many as the consumer has workers.
  Batch batch;           // For handlers that take a span.
  RateLimit rate_limit;  // In each process. Attempts count, not messages.

  // Who it is.
  std::string name;  // Default: the function's name without its namespace. Kept in retries, dead letters.
  std::vector<std::string> formerly;  // Names it had before: their retries and dead letters come here.
  std::string group;                  // Consumer group; empty: the client's.
  std::string client;                 // Which client's broker; empty: the default one.
  std::string content_type;           // What a message that declares none holds; empty: what the codec says.
};

}  // namespace messaging

#endif  // MESSAGING_HANDLER_OPTIONS_H_
