// How long a worker's calls take and what becomes of them, as the observer is told.
#ifndef MESSAGING_DISPATCH_CALL_TIMES_H_
#define MESSAGING_DISPATCH_CALL_TIMES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "messaging/broker/clock.h"
#include "messaging/observer.h"

namespace messaging {

// Of calls that take some hundred nanoseconds a look at the clock for each would be a tenth: after 64 in a row that
// were quick, the clock is looked at once for as many as are expected in 5 us, at most 128, and the observer told with
// it. As soon as such a run takes longer than 10 us, each call is timed by itself again. So a handler that is slow, or
// is at times, is timed call by call, but for the run in which that shows; and no sum is wrong. Used by one thread at a
// time.
class CallTimes {
 public:
  // `observer` may be null: then nothing is done.
  CallTimes(Observer* observer, const Clock& clock) : observer_(observer), clock_(clock) {}

  // Before each call. `handler` stays valid until Flush.
  void Begin(std::string_view handler, std::string_view topic) {
    if (observer_ == nullptr || (count_ > 0 && topic == topic_)) return;
    Open(handler, topic);
  }
  // After the call: either its outcome, known at once ...
  void Ended(const absl::Status& status, absl::Time timestamp) {
    if (observer_ == nullptr) return;
    if (!status.ok()) return Failed(status, timestamp);
    timestamps_[count_++] = timestamp;
    if (count_ >= length_) Flush();
  }
  // ... or its times, for a caller that tells the observer later.
  struct Times {
    absl::Time began;
    absl::Duration took;
  };
  Times Split();
  // Tells what has ended.
  void Flush();

 private:
  static constexpr int64_t kQuick = 10'000;  // ns; up to there a histogram sees no difference (metrics/series.h).
  static constexpr size_t kTrusted = 64;
  static constexpr size_t kMost = 128;

  void Open(std::string_view handler, std::string_view topic);
  void Failed(const absl::Status& status, absl::Time timestamp);
  absl::Duration Close(absl::Time now, size_t more);
  void Tell(const absl::Status& status, absl::Duration each, absl::Time began, absl::Span<const absl::Time> timestamps);

  Observer* const observer_;
  const Clock& clock_;
  std::string_view handler_;
  std::string topic_;
  absl::Time began_;
  std::array<absl::Time, kMost> timestamps_;  // Of the messages of the calls since, all of which were OK.
  size_t count_ = 0;                          // Of them.
  size_t length_ = 1;                         // How many are timed together.
  size_t quick_ = 0;                          // Calls in a row that were.
  int64_t each_ = 0;                          // What one took then, ns.
};

}  // namespace messaging

#endif  // MESSAGING_DISPATCH_CALL_TIMES_H_
