// When a member commits its progress. Without I/O.
#ifndef KAFKA_COMMIT_SCHEDULE_H_
#define KAFKA_COMMIT_SCHEDULE_H_

#include <algorithm>

#include "absl/time/time.h"

namespace messaging::kafka {

// An interval after the last time; at once when somebody waits for it; after a refusal not before a pause, whoever
// waits.
class CommitSchedule {
 public:
  static constexpr absl::Duration kPause = absl::Milliseconds(200);

  explicit CommitSchedule(absl::Duration interval) : interval_(interval) {}

  absl::Time Due(bool somebody_waits) const {
    return std::max(paused_until_, somebody_waits ? absl::InfinitePast() : next_);
  }
  void OnAsked(absl::Time now) { next_ = now + interval_; }
  void OnRefused(absl::Time now) { next_ = paused_until_ = now + kPause; }

 private:
  const absl::Duration interval_;
  absl::Time next_ = absl::InfinitePast();
  absl::Time paused_until_ = absl::InfinitePast();
};

}  // namespace messaging::kafka

#endif  // KAFKA_COMMIT_SCHEDULE_H_
