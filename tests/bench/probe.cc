#include "tests/bench/probe.h"

#include <atomic>
#include <cstdint>

#include "absl/time/clock.h"

namespace bench {
namespace {

constexpr int64_t kNone = -1;
std::atomic<int64_t> first_call{0};
std::atomic<int64_t> last_return{kNone};
std::atomic<bool> wanted{false};  // Else nobody asks, and a look at the clock for each call would be measured, too.

}  // namespace

void NoteCall() {
  int64_t expected = kNone;
  if (first_call.load(std::memory_order_relaxed) == kNone) {
    first_call.compare_exchange_strong(expected, absl::GetCurrentTimeNanos());
  }
}

void NoteReturn() {
  if (wanted.load(std::memory_order_relaxed)) last_return.store(absl::GetCurrentTimeNanos(), std::memory_order_relaxed);
}

void Arm() {
  wanted.store(true, std::memory_order_relaxed);
  first_call.store(kNone);
}

absl::Time FirstCall() {
  const int64_t nanos = first_call.load();
  return nanos == kNone ? absl::InfiniteFuture() : absl::FromUnixNanos(nanos);
}

absl::Time LastReturn() {
  const int64_t nanos = last_return.load();
  return nanos == kNone ? absl::InfinitePast() : absl::FromUnixNanos(nanos);
}

}  // namespace bench
