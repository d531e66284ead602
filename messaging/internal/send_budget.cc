#include "messaging/internal/send_budget.h"

#include <algorithm>

#include "messaging/broker/clock.h"

namespace messaging::internal {
namespace {

// Whoever waits is woken when so much is free, not for each message that is; and looks by itself this often, should
// what is in use not move.
constexpr uint64_t kFree = 8;  // One part of so many.
constexpr absl::Duration kLook = absl::Milliseconds(10);

}  // namespace

SendBudget::SendBudget(size_t max_messages, size_t max_bytes)
    : max_messages_(std::min<uint64_t>(max_messages, kMaxMessages)),
      max_bytes_(std::min<uint64_t>(max_bytes, kMaxBytes)) {}

bool SendBudget::TryTake(size_t bytes, bool behind_callbacks) {
  if (bytes > max_bytes_) return false;
  const size_t callbacks = behind_callbacks ? callbacks_.load() : 0;
  uint64_t used = used_.load();
  do {
    if ((used >> kByteBits) + callbacks >= max_messages_ || (used & kMaxBytes) + bytes > max_bytes_) return false;
  } while (!used_.compare_exchange_weak(used, used + (uint64_t{1} << kByteBits) + bytes));
  return true;
}

bool SendBudget::TakeBy(size_t bytes, absl::Time limit, bool behind_callbacks) {
  if (TryTake(bytes, behind_callbacks)) return true;
  if (bytes > max_bytes_) return false;
  absl::MutexLock lock(&mutex_);
  waiting_.fetch_add(1);  // Before the next look: whoever gives after that look sees it, and signals.
  bool taken = false;
  for (;;) {
    taken = TryTake(bytes, behind_callbacks);
    const absl::Duration left = limit - Clock::Steady().Now();
    if (taken || left <= absl::ZeroDuration()) break;
    room_.WaitWithTimeout(&mutex_, std::min(left, kLook));
  }
  waiting_.fetch_sub(1);
  return taken;
}

void SendBudget::Give(size_t bytes) {
  used_.fetch_sub((uint64_t{1} << kByteBits) + bytes);
  Signal();
}

void SendBudget::Signal() {
  if (waiting_.load() == 0) return;
  const uint64_t used = used_.load();
  if ((used >> kByteBits) + callbacks_.load() > max_messages_ - max_messages_ / kFree ||
      (used & kMaxBytes) > max_bytes_ - max_bytes_ / kFree) {
    return;
  }
  absl::MutexLock lock(&mutex_);
  room_.SignalAll();
}

}  // namespace messaging::internal
