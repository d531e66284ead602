// One message on its way out: shared by the Confirmation that the user holds and by the driver that sends it. Users do
// not name this type; drivers take it from Broker::Publish.
#ifndef MESSAGING_OUTGOING_H_
#define MESSAGING_OUTGOING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "messaging/internal/send_link.h"
#include "messaging/message.h"

namespace messaging {

class Span;

// Where the broker put a message. Fields a broker does not have keep their defaults.
struct Receipt {
  std::string id;
  int32_t partition = -1;
  int64_t position = -1;
};

// One send, held by the producer, the driver and the sender's Confirmation.
class Outgoing;
using OutgoingPtr = std::shared_ptr<Outgoing>;

// The producer's end. Internal.
class OutgoingObserver {
 public:
  virtual ~OutgoingObserver() = default;
  // Once a message, when result() is set and before anybody who waits for it sees that: room in the budget comes first.
  virtual void OnResolved(Outgoing& outgoing) = 0;
  // Then, once they see it.
  virtual void AfterResolved(Outgoing& outgoing) = 0;
  // Runs `task` on the callback thread, or at once where there is none any more.
  virtual void Post(std::function<void()> task) = 0;
  // The message is gone, was refused or unknown, and nobody had looked at that.
  virtual void OnUnseen(const Outgoing& outgoing) = 0;
};

// Completed once, from any thread. The link is the producer's.
class Outgoing : public internal::SendLink, public std::enable_shared_from_this<Outgoing> {
 public:
  using Result = absl::StatusOr<Receipt>;
  using Callback = std::function<void(const Result&)>;

  // `deadline` and `sent` by Clock::Steady(). `observer` may be null (tests): callbacks then run where it is resolved.
  Outgoing(Message&& message, absl::Time deadline, std::shared_ptr<OutgoingObserver> observer,
           absl::Time sent = absl::InfinitePast());
  ~Outgoing();  // Unresolved: the driver dropped it without an answer, and it resolves as unknown.
  // The driver's reference to it; once a message. When the last copy of that is gone the payload is freed, though
  // somebody may keep the Confirmation, and what is still unresolved has no answer to come.
  static OutgoingPtr ForDriver(OutgoingPtr outgoing);
  Outgoing(const Outgoing&) = delete;
  Outgoing& operator=(const Outgoing&) = delete;

  // For the driver. `message` is complete: id, timestamp and content type are set. The first Complete counts, from any
  // thread, later ones do nothing (a broker's answer after the deadline). Never blocks on user code.
  const Message& message() const { return message_; }  // Without the driver's reference: topic, key and id only.
  absl::Time deadline() const { return deadline_; }
  size_t bytes() const { return bytes_; }
  void Complete(Result result);
  bool resolved() const { return resolved_.load(std::memory_order_acquire); }

  // For Confirmation and Producer.
  bool WaitUntil(absl::Time limit);  // False when the limit passed first.
  void CompleteAsOverdue();          // Unknown: the deadline passed.
  void Then(Callback callback);      // On the callback thread.
  // Called with the result on the resolving thread, or at once; must not block. For joins of sends to a handler's
  // outcome.
  void OnResult(Callback callback);
  const Result& result() const { return result_; }  // Once resolved.
  Result ResultForUser() const;                     // The same; the receipt's id is never empty.
  absl::Time sent() const { return sent_; }
  // It holds a part of the producer's budget. Set before it is published, if at all.
  void set_counted() { counted_ = true; }
  bool counted() const { return counted_; }
  // What traces it (tracer.h), if anybody does; the producer ends it. Set before it is published, if at all.
  void set_span(std::unique_ptr<Span> span);
  Span* span() const { return span_.get(); }
  void MarkSeen() { seen_.store(true, std::memory_order_relaxed); }
  static bool InCallback();  // On this thread a Then callback is running.

 private:
  template <typename T>
  struct InPlace;
  void LeftByDriver();

  Message message_;
  const absl::Time deadline_;
  const absl::Time sent_;
  const size_t bytes_;
  bool counted_ = false;
  std::unique_ptr<Span> span_;
  std::atomic<bool> claimed_{false};  // Somebody completes it.
  std::atomic<bool> resolved_{false};
  std::atomic<bool> seen_{false};
  absl::Mutex mutex_;
  Result result_;  // Written by who claimed, read once resolved_.
  std::vector<Callback> on_result_ ABSL_GUARDED_BY(mutex_);
  const std::shared_ptr<OutgoingObserver> observer_;
  alignas(std::max_align_t) char driver_counts_[64];
};

}  // namespace messaging

#endif  // MESSAGING_OUTGOING_H_
