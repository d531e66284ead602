// The counters behind PrometheusObserver: one thread writes each, any thread reads.
#ifndef METRICS_SERIES_H_
#define METRICS_SERIES_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "absl/types/span.h"

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

  void Add(absl::Duration each, uint64_t times = 1) {
    const int64_t n = Clamped(each);
    buckets[BucketOf(n)].Add(times);
    nanoseconds.Add(static_cast<uint64_t>(n) * times);
  }
  // From each of `times` to `end`, but for those that are not known. Most are in the bucket of the one before.
  void AddSince(absl::Span<const absl::Time> times, absl::Time end) {
    const int64_t end_ns = absl::ToUnixNanos(end);
    size_t bucket = 0;
    int64_t above = -1, up_to = kBounds[0];
    uint64_t in_bucket = 0, sum = 0;
    for (const absl::Time time : times) {
      const int64_t since = absl::ToUnixNanos(time);
      int64_t n = end_ns - since;
      if (n <= above || n > up_to || since < 0) {
        if (time == absl::InfinitePast()) continue;
        buckets[bucket].Add(std::exchange(in_bucket, 0));
        n = Clamped(end - time);
        bucket = BucketOf(n);
        above = bucket > 0 ? kBounds[bucket - 1] : -1;
        up_to = bucket < kBounds.size() ? kBounds[bucket] : kTooLong;
      }
      ++in_bucket;
      sum += static_cast<uint64_t>(n);
    }
    buckets[bucket].Add(in_bucket);
    nanoseconds.Add(sum);
  }

 private:
  static constexpr int64_t kTooLong = kBounds.back() + 1;

  // Clocks differ between machines; and a sum must not overflow.
  static int64_t Clamped(absl::Duration duration) {
    return std::clamp<int64_t>(absl::ToInt64Nanoseconds(duration), 0, kTooLong);
  }
  static size_t BucketOf(int64_t n) { return std::lower_bound(kBounds.begin(), kBounds.end(), n) - kBounds.begin(); }
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
