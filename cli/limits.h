// When a consumer ends by itself: after so many messages, or when nothing comes any more.
#ifndef CLI_LIMITS_H_
#define CLI_LIMITS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "messaging/observer.h"

namespace messaging::cli {

// Told as an observer what the consumer does. Thread-safe.
class Limits : public Observer {
 public:
  // `max_messages` 0: none. `reached` is called once, from any thread, when so many were handled for good.
  Limits(int64_t max_messages, std::function<void()> reached)
      : max_messages_(max_messages), reached_(std::move(reached)) {}

  // For a handler of our own that is to be called no more often than that, called before each message. False: it was
  // not to be handled, and the consumer drains by now (`draining`): answer with Cancelled. Else End says whether it was
  // handled for good.
  bool Begin(const std::function<bool()>& draining);
  void End(bool for_good);
  // Handlers of the program count when they are done: those that were in hand by then may come on top.
  void CountHandled() { count_handled_ = true; }

  bool reached() const;
  int64_t done() const;
  absl::Time last_activity() const;
  void Touch(absl::Time now);  // Something happened.

  void OnReceived(std::string_view topic, size_t messages, size_t bytes) override;
  void OnHandled(std::string_view handler, std::string_view topic, const Handled& attempts) override;
  void OnDeadLetter(std::string_view handler, std::string_view topic, const absl::Status& why) override;

 private:
  void Done();

  const int64_t max_messages_;
  const std::function<void()> reached_;
  bool count_handled_ = false;  // Set before the start.
  mutable absl::Mutex mutex_;
  int64_t begun_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t done_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time last_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace messaging::cli

#endif  // CLI_LIMITS_H_
