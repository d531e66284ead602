// Runs handlers: takes messages from a broker's subscriptions, deals them to workers, settles them. The shell around
// Engine (engine.h), which decides; here are the threads, the mutex, the calls and their injected objects.
#ifndef MESSAGING_DISPATCH_DISPATCHER_H_
#define MESSAGING_DISPATCH_DISPATCHER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/clock.h"
#include "messaging/handler.h"
#include "messaging/observer.h"
#include "messaging/producer.h"
#include "messaging/progress.h"
#include "messaging/provide.h"
#include "messaging/tracer.h"

namespace messaging {

struct DispatcherOptions {
  std::string group;  // Of handlers that name none.
  absl::Duration drain_timeout = absl::Seconds(30);
  int concurrency = 8;  // Workers. Zero: no threads; the caller drives RunReady (tests).
  size_t max_messages = 2'000;
  size_t max_bytes = 64 << 20;
  StartAt start_at = StartAt::kBeginning;
  const Clock* clock = &Clock::Steady();
  Observer* observer = nullptr;  // May be null.
  Tracer* tracer = nullptr;      // May be null.
  uint64_t seed = 0;             // Of the retries' jitter. 0: a random one.
};

// One consumer: all handlers over one broker, a subscription for each group. Thread-safe.
class Dispatcher {
 public:
  // Everything outlives the dispatcher. `handlers`: names and options as registered.
  Dispatcher(Broker& broker, Producer& producer, const Providers& providers, std::vector<Handler> handlers,
             DispatcherOptions options);
  ~Dispatcher();  // Stops.

  // Checks the handlers (one line each for what is wrong: FailedPrecondition or InvalidArgument), subscribes, starts.
  absl::Status Start();
  // Until Stop, or a subscription's failure: then that.
  absl::Status Wait();
  // Takes no more, finishes what is in hand, releases what was not begun, settles, leaves. DeadlineExceeded, naming the
  // handlers, when some did not return within drain_timeout.
  absl::Status Stop();

  // One handler, one topic, or with both empty everything, as Client::Pause and Resume say.
  absl::Status SetPaused(const std::string& handler, const std::string& topic, bool paused);

  // Without workers: calls handlers for all that is ready now, on this thread. False when there was nothing to do.
  bool RunReady();
  // The next time at which something becomes ready by itself (a batch's wait, a held key); InfiniteFuture: none.
  absl::Time NextEvent() const;
  size_t in_flight() const;  // Received and not settled.
  Progress progress() const;
  bool draining() const;  // What handlers answer with Cancelled is released.
  // Of all its groups, as Subscription::Backlog. After Start.
  absl::StatusOr<int64_t> Backlog();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;  // Shared with workers: a handler that never returns keeps it alive.
};

}  // namespace messaging

#endif  // MESSAGING_DISPATCH_DISPATCHER_H_
