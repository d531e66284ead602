// Sends that join the outcome of the handler call that made them (design: rule 3).
#ifndef MESSAGING_INTERNAL_SEND_JOIN_H_
#define MESSAGING_INTERNAL_SEND_JOIN_H_

#include <cstddef>
#include <functional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "messaging/outgoing.h"

namespace messaging {
struct TraceContext;
}

namespace messaging::internal {

// What sends of a handler's call continue.
class TraceSource {
 public:
  virtual ~TraceSource() = default;
  virtual const TraceContext* Trace() = 0;  // Null: none. Of one thread at a time, unless it was called before.
};

// Collects the sends of one call. Thread-safe. Whoever asks for the outcome has thereby looked at every Confirmation.
// May be destroyed at any time; the sends go on. Sends accepted meanwhile are let go, so a call may make any number.
class SendJoin {
 public:
  void Add(OutgoingPtr send);
  bool empty() const;  // Nothing was ever added.
  // Not owned; before the first send. Null: none.
  void set_trace(TraceSource* source) { trace_ = source; }
  const TraceContext* Trace() const { return trace_ == nullptr ? nullptr : trace_->Trace(); }

  // Both take the sends added so far; later ones belong to the next call of either. OK: all were accepted. Else the
  // first that was refused, or whose outcome is unknown, in the order of sending.
  //
  // Calls `done` once, on the thread that resolves the last one or at once; it must not block.
  void WhenAll(std::function<void(const absl::Status&)> done);
  // Blocks; each send resolves at its own deadline at the latest. DeadlineExceeded when `limit` passes first.
  absl::Status Wait(absl::Time limit = absl::InfiniteFuture());

 private:
  void DropAccepted() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  TraceSource* trace_ = nullptr;
  mutable absl::Mutex mutex_;
  bool empty_ ABSL_GUARDED_BY(mutex_) = true;
  size_t sweep_at_ ABSL_GUARDED_BY(mutex_) = 64;
  std::vector<OutgoingPtr> sends_ ABSL_GUARDED_BY(mutex_);
};

// While it lives, sends made by this thread join `join` (null: none). Nests.
class ScopedSendJoin {
 public:
  explicit ScopedSendJoin(SendJoin* join);
  ~ScopedSendJoin();
  ScopedSendJoin(const ScopedSendJoin&) = delete;
  ScopedSendJoin& operator=(const ScopedSendJoin&) = delete;

  static SendJoin* Current();  // This thread's; null outside of handlers.

 private:
  SendJoin* const outer_;
};

}  // namespace messaging::internal

#endif  // MESSAGING_INTERNAL_SEND_JOIN_H_
