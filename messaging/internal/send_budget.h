// How much a producer holds: messages and bytes that are sent and not resolved, callbacks that have not run.
#ifndef MESSAGING_INTERNAL_SEND_BUDGET_H_
#define MESSAGING_INTERNAL_SEND_BUDGET_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace messaging::internal {

// Thread-safe; one atomic operation to take and one to give back. Limits are capped at 16 million messages and 1 TiB.
class SendBudget {
 public:
  SendBudget(size_t max_messages, size_t max_bytes);

  // Counts a message in, or false: there is no room for it. Callbacks leave less room, if `behind_callbacks`.
  bool TryTake(size_t bytes, bool behind_callbacks = true);
  // The same, waiting for room until `limit` (Clock::Steady()).
  bool TakeBy(size_t bytes, absl::Time limit, bool behind_callbacks = true);
  void Give(size_t bytes);
  void AddCallback() { callbacks_.fetch_add(1); }
  void GiveCallback() {
    callbacks_.fetch_sub(1);
    Signal();
  }

  size_t messages() const { return used_.load(std::memory_order_relaxed) >> kByteBits; }
  size_t bytes() const { return used_.load(std::memory_order_relaxed) & kMaxBytes; }
  size_t max_bytes() const { return max_bytes_; }
  size_t callbacks() const { return callbacks_.load(std::memory_order_relaxed); }

 private:
  void Signal();

  // Both in one word, so that neither is ever taken without the other.
  static constexpr int kByteBits = 40;
  static constexpr uint64_t kMaxBytes = (uint64_t{1} << kByteBits) - 1;
  static constexpr uint64_t kMaxMessages = (uint64_t{1} << (64 - kByteBits)) - 1;

  const uint64_t max_messages_;
  const uint64_t max_bytes_;
  std::atomic<uint64_t> used_{0};
  std::atomic<size_t> callbacks_{0};
  std::atomic<int> waiting_{0};
  absl::Mutex mutex_;
  absl::CondVar room_;
};

}  // namespace messaging::internal

#endif  // MESSAGING_INTERNAL_SEND_BUDGET_H_
