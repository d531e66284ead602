// For lines about what may happen very often: when to write one, and for how many it stands.
#ifndef MESSAGING_INTERNAL_REPEATED_LINE_H_
#define MESSAGING_INTERNAL_REPEATED_LINE_H_

#include <cstddef>
#include <utility>

#include "absl/time/time.h"

namespace messaging::internal {

// The first is told at once, then at most one a `pause` with how many there were since. Not thread-safe.
class RepeatedLine {
 public:
  explicit RepeatedLine(absl::Duration pause) : pause_(pause) {}
  // It has happened. How many times since the last line, if one is to be written now; else 0.
  size_t Happened(absl::Time now) {
    ++count_;
    if (now < next_) return 0;
    next_ = now + pause_;
    return std::exchange(count_, 0);
  }
  // The next one is told at once.
  void Reset() {
    count_ = 0;
    next_ = absl::InfinitePast();
  }

 private:
  const absl::Duration pause_;
  size_t count_ = 0;
  absl::Time next_ = absl::InfinitePast();
};

}  // namespace messaging::internal

#endif  // MESSAGING_INTERNAL_REPEATED_LINE_H_
