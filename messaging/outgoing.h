// One message on its way out: shared by the Confirmation that the user holds and by the driver that sends it. Users do
// not name this type; drivers take it from Broker::Publish.
#ifndef MESSAGING_OUTGOING_H_
#define MESSAGING_OUTGOING_H_

#include <atomic>
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
#include "messaging/message.h"

namespace messaging {

// Where the broker put a message. Fields a broker does not have keep their defaults.
struct Receipt {
  std::string id;
  int32_t partition = -1;
  int64_t position = -1;
};

class Outgoing;
using OutgoingPtr = std::shared_ptr<Outgoing>;

// The producer's end: told once about each resolved message (budget, join, callbacks, counting). Internal.
class OutgoingObserver {
 public:
  virtual ~OutgoingObserver() = default;
  virtual void OnResolved(Outgoing& outgoing) = 0;
  // Runs `task` on the callback thread, or at once where there is none any more.
  virtual void Post(std::function<void()> task) = 0;
  // A refusal that nobody looked at.
  virtual void OnUnseen(const Outgoing& outgoing) = 0;
};

class Outgoing : public std::enable_shared_from_this<Outgoing> {
 public:
  using Result = absl::StatusOr<Receipt>;
  using Callback = std::function<void(const Result&)>;

  Outgoing(Message message, absl::Time deadline, std::shared_ptr<OutgoingObserver> observer);
  ~Outgoing();
  Outgoing(const Outgoing&) = delete;
  Outgoing& operator=(const Outgoing&) = delete;

  // For the driver. `message` is complete: id, timestamp and content type are set. The first Complete counts, from any
  // thread, later ones do nothing (a broker's answer after the deadline). Never blocks on user code.
  const Message& message() const { return message_; }
  absl::Time deadline() const { return deadline_; }
  size_t bytes() const { return bytes_; }
  void Complete(Result result);
  bool resolved() const { return resolved_.load(std::memory_order_acquire); }

  // For Confirmation and Producer.
  const Result* WaitUntil(absl::Time limit);  // Null when the limit passed first.
  void Then(Callback callback);
  // Called with the result on the resolving thread, or at once; must not block. For joins of sends to a handler's
  // outcome.
  void OnResult(Callback callback);
  const Result& result() const { return result_; }  // Once resolved.
  void MarkSeen() { seen_.store(true, std::memory_order_relaxed); }

 private:
  const Message message_;
  const absl::Time deadline_;
  const size_t bytes_;
  std::atomic<bool> resolved_{false};
  std::atomic<bool> seen_{false};
  absl::Mutex mutex_;
  Result result_ = absl::UnknownError("not resolved");
  std::vector<Callback> on_result_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<OutgoingObserver> observer_;
};

}  // namespace messaging

#endif  // MESSAGING_OUTGOING_H_
