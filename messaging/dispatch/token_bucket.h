// How many may begin now, so that no more than a rate do over time. No clock, no lock.
#ifndef MESSAGING_DISPATCH_TOKEN_BUCKET_H_
#define MESSAGING_DISPATCH_TOKEN_BUCKET_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "messaging/handler_options.h"

namespace messaging {

// Kept as one time, at which the bucket is full again: the generic cell rate algorithm. Thereby Available(When(n)) is
// exactly n, and nothing is lost by rounding.
class TokenBucket {
 public:
  explicit TokenBucket(const RateLimit& limit)
      : limited_(limit.per_second > 0),
        interval_(limited_ ? std::max(absl::Seconds(1) / limit.per_second, absl::Nanoseconds(1))
                           : absl::ZeroDuration()),
        burst_(std::max(1, limit.burst)) {}

  bool limited() const { return limited_; }
  size_t burst() const { return static_cast<size_t>(burst_); }
  // At most burst.
  size_t Available(absl::Time now) const {
    const absl::Duration missing = std::max(full_at_ - now, absl::ZeroDuration());
    const absl::Duration left = burst_ * interval_ - missing;
    return left <= absl::ZeroDuration() ? 0 : static_cast<size_t>(left / interval_);
  }
  // When `n`, of at most burst, will be there, if none is taken before.
  absl::Time When(size_t n) const { return full_at_ - (burst_ - static_cast<int64_t>(n)) * interval_; }
  void Take(size_t n, absl::Time now) { full_at_ = std::max(full_at_, now) + static_cast<int64_t>(n) * interval_; }

 private:
  const bool limited_;
  const absl::Duration interval_;
  const int64_t burst_;
  absl::Time full_at_ = absl::InfinitePast();
};

}  // namespace messaging

#endif  // MESSAGING_DISPATCH_TOKEN_BUCKET_H_
