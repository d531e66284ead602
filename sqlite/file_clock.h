// The time of one file, which is the same for all processes of a machine. It goes on while the machine sleeps, and
// nobody sets it: the machine's time since it was started, from what the wall clock said when the first process of that
// time opened the file. A retry is due when its delay has passed, though the wall clock be set back by an hour
// meanwhile.
#ifndef SQLITE_FILE_CLOCK_H_
#define SQLITE_FILE_CLOCK_H_

#include <string>

#include "absl/time/time.h"
#include "messaging/broker/clock.h"

namespace messaging::sqlite {

// What a machine knows of time; a test may know other.
class MachineClock {
 public:
  virtual ~MachineClock() = default;
  virtual std::string boot() const;           // A name for the time since the machine was started; empty: not known.
  virtual absl::Duration since_boot() const;  // Sleep included.
  virtual absl::Time wall() const;
  static const MachineClock& Own();
};

class FileClock : public Clock {
 public:
  // `boot_time`: in the file's time (Store::BootTime).
  FileClock(const MachineClock& machine, absl::Time boot_time) : machine_(machine), boot_time_(boot_time) {}
  absl::Time Now() const override { return boot_time_ + machine_.since_boot(); }
  // From the file's time to the wall clock's, for people: whole seconds; 0 where nobody has set that.
  absl::Duration ToWall() const;

 private:
  const MachineClock& machine_;
  const absl::Time boot_time_;
};

}  // namespace messaging::sqlite

#endif  // SQLITE_FILE_CLOCK_H_
