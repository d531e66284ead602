// Time as the engine and the drivers see it, so that tests can move it.
#ifndef MESSAGING_BROKER_CLOCK_H_
#define MESSAGING_BROKER_CLOCK_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace messaging {

// Where time comes from: the machine, or a test.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;

  // The wall clock's time when the program started plus the steady clock's progress since: a clock that is set while
  // the program runs does not make timers fire early or late.
  static const Clock& Steady();
};

// Stands still until it is moved. Thread-safe.
class SimulatedClock : public Clock {
 public:
  explicit SimulatedClock(absl::Time start = absl::UnixEpoch() + absl::Hours(24 * 365 * 50)) : now_(start) {}
  absl::Time Now() const override {
    absl::MutexLock lock(&mutex_);
    return now_;
  }
  void Advance(absl::Duration by) {
    absl::MutexLock lock(&mutex_);
    now_ += by;
  }
  void AdvanceTo(absl::Time time) {
    absl::MutexLock lock(&mutex_);
    if (time > now_) now_ = time;
  }

 private:
  mutable absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace messaging

#endif  // MESSAGING_BROKER_CLOCK_H_
