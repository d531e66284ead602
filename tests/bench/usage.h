// What a piece of work cost this process.
#ifndef TESTS_BENCH_USAGE_H_
#define TESTS_BENCH_USAGE_H_

#include <sys/resource.h>

#include <cstdint>
#include <cstdio>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace bench {

class Usage {
 public:
  absl::Duration wall() const { return absl::Now() - began_; }
  absl::Duration processor() const { return Spent() - spent_; }
  // One line of JSON, as tools/internal/bench.py reads it.
  void Print(int64_t messages) const {
    const double n = static_cast<double>(messages);
    std::printf("{\"messages_per_second\": %.1f, \"cpu_us_per_message\": %.4f}\n", n / absl::ToDoubleSeconds(wall()),
                absl::ToDoubleMicroseconds(processor()) / n);
  }

 private:
  static absl::Duration Spent() {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return absl::DurationFromTimeval(usage.ru_utime) + absl::DurationFromTimeval(usage.ru_stime);
  }
  const absl::Time began_ = absl::Now();
  const absl::Duration spent_ = Spent();
};

}  // namespace bench

#endif  // TESTS_BENCH_USAGE_H_
