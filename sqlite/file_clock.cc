#include "sqlite/file_clock.h"

#include <time.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace messaging::sqlite {

std::string MachineClock::boot() const {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  // Containers may have a time since boot of their own.
  char space[64];
  const ssize_t length = readlink("/proc/self/ns/time", space, sizeof space);
  return id.empty() ? "" : absl::StrCat(id, " ", std::string_view(space, length > 0 ? static_cast<size_t>(length) : 0));
}

absl::Duration MachineClock::since_boot() const {
  timespec now = {};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return absl::DurationFromTimespec(now);
}

absl::Time MachineClock::wall() const { return absl::Now(); }

const MachineClock& MachineClock::Own() {
  static const MachineClock* const own = new MachineClock;
  return *own;
}

absl::Duration FileClock::ToWall() const {
  const absl::Duration off = machine_.wall() - Now();
  return absl::AbsDuration(off) < absl::Seconds(2) ? absl::ZeroDuration() : absl::Floor(off, absl::Seconds(1));
}

}  // namespace messaging::sqlite
