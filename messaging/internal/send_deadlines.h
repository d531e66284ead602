// Watches the deadlines of a producer's sends, and thereby knows which of them are open.
#ifndef MESSAGING_INTERNAL_SEND_DEADLINES_H_
#define MESSAGING_INTERNAL_SEND_DEADLINES_H_

#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "messaging/outgoing.h"

namespace messaging::internal {

// Completes each tracked send as unknown once its deadline has passed. Thread-safe. Its thread starts with the first
// send and is woken only for a deadline before all others, so with equal durations nearly never.
class SendDeadlines {
 public:
  SendDeadlines() = default;
  ~SendDeadlines() { Stop(); }

  void Track(const OutgoingPtr& send);
  // Those tracked and not resolved, in no order.
  std::vector<OutgoingPtr> Open() const;
  // Ends the thread. Sends tracked later are not watched.
  void Stop();

 private:
  // Weak: a message is freed when its driver and its sender are done with it, though its entry stays for a while.
  struct Entry {
    absl::Time deadline;
    std::weak_ptr<Outgoing> send;
  };
  static bool Later(const Entry& a, const Entry& b) { return a.deadline > b.deadline; }

  void Run();
  std::vector<OutgoingPtr> TakeDue(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  absl::CondVar changed_;
  std::vector<Entry> heap_ ABSL_GUARDED_BY(mutex_);  // Earliest deadline first.
  size_t sweep_at_ ABSL_GUARDED_BY(mutex_) = 1024;   // The size at which entries of freed messages are removed.
  absl::Time wake_at_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace messaging::internal

#endif  // MESSAGING_INTERNAL_SEND_DEADLINES_H_
