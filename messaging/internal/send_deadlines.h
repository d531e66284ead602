// Watches the deadlines of a producer's sends, and thereby knows which of them are open.
#ifndef MESSAGING_INTERNAL_SEND_DEADLINES_H_
#define MESSAGING_INTERNAL_SEND_DEADLINES_H_

#include <cstdint>
#include <map>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "messaging/internal/send_link.h"
#include "messaging/outgoing.h"

namespace messaging::internal {

// Completes each tracked send as unknown once its deadline has passed. Thread-safe. Its thread starts with the first
// send and is woken only for a deadline before all others, so with equal durations nearly never.
class SendDeadlines {
 public:
  SendDeadlines() = default;
  ~SendDeadlines() { Stop(); }

  // From now on, until it is forgotten, which has to be before it is gone. A send is tracked once at most.
  void Track(Outgoing& send);
  void Forget(Outgoing& send);  // Tracked or not.
  // Those tracked and not forgotten, in no order.
  std::vector<OutgoingPtr> Open() const;
  // Ends the thread. Sends tracked later are not watched.
  void Stop();

 private:
  // Those whose deadlines are close together, in no order. The link is its ring's, not a send's.
  struct Slot {
    Slot() { ring.previous = ring.next = &ring; }
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;
    SendLink ring;
  };

  void Run();
  std::vector<OutgoingPtr> TakeDue(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropEmptySlots() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  absl::CondVar changed_;
  std::map<int64_t, Slot> slots_ ABSL_GUARDED_BY(mutex_);  // By deadline.
  int64_t last_number_ ABSL_GUARDED_BY(mutex_) = -1;       // Of last_: mostly the next send belongs there, too.
  Slot* last_ ABSL_GUARDED_BY(mutex_) = nullptr;
  absl::Time wake_at_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace messaging::internal

#endif  // MESSAGING_INTERNAL_SEND_DEADLINES_H_
