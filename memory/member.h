// One member of a group: takes messages from the store, gives them to its sink, and settles them.
#ifndef MEMORY_MEMBER_H_
#define MEMORY_MEMBER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "memory/group.h"
#include "memory/store.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/delivery.h"

namespace messaging::memory_internal {

// Outlives its Subscription while somebody holds a delivery of it, as those say Drop to it.
class Member : public RecordOwner, public std::enable_shared_from_this<Member> {
 public:
  Member(std::shared_ptr<Store> store, SubscribeOptions options, DeliverySink* sink, const void* broker);
  ~Member() override;
  const void* broker() const { return broker_; }

  // Takes part in its groups from now on.
  void Join();
  // As of Subscription.
  absl::Status Start();
  void Settle(std::vector<Settlement> batch);
  void Wake();
  void StopFetching();
  absl::Status Close(absl::Time deadline);
  int64_t Backlog();
  void Drop(Record* record) override;

  // As if the process was killed: all that it has in hand is suspect, and others'.
  void Crash();
  // After this the sink is not called any more.
  void End();

  // One round: answers that are due, then one batch. False: there was nothing to do.
  bool Turn();
  absl::Time NextEvent() const ABSL_SHARED_LOCKS_REQUIRED(store_->mutex);
  void Signal() ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_->mutex) {
    ++signals_;
    if (waiting_ && !starved_) changed_.Signal();
  }

 private:
  struct Topic {
    GroupTopic* group;
    bool ordered;
  };

  void Run();
  bool GiveAnswers(absl::Time now);
  bool Reads(const Topic& topic) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_->mutex);
  bool MayFetch(absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_->mutex);
  std::vector<Delivery> Fetch(Room room, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_->mutex);
  size_t BatchLimit(Room room) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_->mutex);
  Slab* NewSlab(size_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_->mutex);
  void Apply(Settlement& settlement, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_->mutex);
  void StoreCopies(Rec& rec, const std::vector<Copy>& copies, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_->mutex);
  void SignalIfFreed(GroupTopic& group, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_->mutex);
  void Finish(Rec& rec) ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_->mutex);
  // Nobody holds the record any more. The keeper of its slab, which must not end under the lock.
  std::shared_ptr<void> Vacate(Rec& rec) ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_->mutex);
  void Leave() ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_->mutex);

  const std::shared_ptr<Store> store_;
  const SubscribeOptions options_;
  DeliverySink* const sink_;
  const void* const broker_;
  std::vector<Topic> topics_ ABSL_GUARDED_BY(store_->mutex);
  size_t first_topic_ ABSL_GUARDED_BY(store_->mutex) = 0;  // Which one is asked first, in turn.

  bool started_ ABSL_GUARDED_BY(store_->mutex) = false;
  bool fetching_ ABSL_GUARDED_BY(store_->mutex) = false;
  bool delivering_ ABSL_GUARDED_BY(store_->mutex) = false;
  bool left_ ABSL_GUARDED_BY(store_->mutex) = false;
  bool ended_ ABSL_GUARDED_BY(store_->mutex) = false;
  bool waiting_ ABSL_GUARDED_BY(store_->mutex) = false;
  bool starved_ ABSL_GUARDED_BY(store_->mutex) = false;  // There was no room; until Wake.
  // Topics that were not to be read; until Wake.
  std::shared_ptr<const std::vector<std::string>> closed_ ABSL_GUARDED_BY(store_->mutex);
  uint64_t signals_ ABSL_GUARDED_BY(store_->mutex) = 0;
  uint64_t wakes_ ABSL_GUARDED_BY(store_->mutex) = 0;
  absl::CondVar changed_;  // For the thread.
  absl::CondVar idle_;     // Nothing is being delivered.
  std::vector<std::unique_ptr<Slab>> slabs_ ABSL_GUARDED_BY(store_->mutex);
  std::vector<Slab*> free_ ABSL_GUARDED_BY(store_->mutex);
  std::vector<Settlement> held_ ABSL_GUARDED_BY(store_->mutex);  // Given while the server was down.
  std::deque<std::pair<absl::Time, std::vector<Settlement>>> late_ ABSL_GUARDED_BY(store_->mutex);
  std::thread thread_;  // Real time only.
};

}  // namespace messaging::memory_internal

#endif  // MEMORY_MEMBER_H_
