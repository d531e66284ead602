// The counters behind PrometheusObserver: one thread writes each, any thread reads.
#ifndef METRICS_SERIES_H_
#define METRICS_SERIES_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace messaging::metrics {

// A number that one thread changes: no locked instruction.
class Cell {
 public:
  void Add(uint64_t n = 1) { value_.store(get() + n, std::memory_order_relaxed); }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Upper bounds in nanoseconds; the last bucket has none. From what a memory broker takes to what a backlog has waited.
inline constexpr std::array<int64_t, 14> kBounds = {
    10'000,      100'000,       500'000,       1'000'000,      5'000'000,       25'000'000,        100'000'000,
    500'000'000, 1'000'000'000, 5'000'000'000, 30'000'000'000, 300'000'000'000, 3'600'000'000'000, 86'400'000'000'000};

struct Durations {
  std::array<Cell, kBounds.size() + 1> buckets;
  Cell nanoseconds;

  void Add(absl::Duration duration) {
    const int64_t n = absl::ToInt64Nanoseconds(duration);
    const int64_t t = n < 0 ? 0 : n > kBounds.back() ? kBounds.back() : n;  // Clocks differ between machines.
    size_t i = 0;
    while (i < kBounds.size() && n > kBounds[i]) ++i;
    buckets[i].Add();
    nanoseconds.Add(static_cast<uint64_t>(t));
  }
};

inline constexpr size_t kCodes = 17;  // absl::StatusCode's values 0 to 16.

// Of one thread and one topic.
struct TopicSeries {
  std::string topic;
  Cell sent, sent_bytes, accepted, refused, unknown, unseen, received, received_bytes, released, late;
  Durations send_latency;
  Durations age;
};

// Of one thread, one handler and one topic.
struct HandlerSeries {
  std::string handler;
  std::string topic;
  std::array<Cell, kCodes> handled;
  std::array<Cell, kCodes> dead;
  Cell retries;
  Durations duration;
};

}  // namespace messaging::metrics

#endif  // METRICS_SERIES_H_
