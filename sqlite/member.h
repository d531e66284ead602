// One subscription's side of the driver: its queue of verdicts, and whether it takes messages. The driver's thread
// (loop.h) does the work.
#ifndef SQLITE_MEMBER_H_
#define SQLITE_MEMBER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "messaging/broker/broker.h"

namespace messaging::sqlite {

class Loop;

class Member : public Subscription, public std::enable_shared_from_this<Member> {
 public:
  Member(std::shared_ptr<Loop> loop, SubscribeOptions options, DeliverySink* sink)
      : loop_(std::move(loop)), options_(std::move(options)), sink_(sink) {}

  absl::Status Start() override;
  void Settle(std::vector<Settlement> batch) override;
  void Wake() override;
  void StopFetching() override;
  absl::Status Close(absl::Time deadline) override;
  absl::StatusOr<int64_t> Backlog() override;
  void Drop(Record* record) override;

 private:
  friend class Loop;
  struct Topic {
    int64_t id = 0;
    std::string name;
    bool ordered = true;
  };

  const std::shared_ptr<Loop> loop_;
  const SubscribeOptions options_;
  DeliverySink* const sink_;

  absl::Mutex delivering_;  // Held while the sink is given messages; not by anything that the sink may call.
  bool fetching_ ABSL_GUARDED_BY(delivering_) = false;

  absl::Mutex mutex_;
  std::vector<Settlement> verdicts_ ABSL_GUARDED_BY(mutex_);
  std::vector<int64_t> dropped_ ABSL_GUARDED_BY(mutex_);  // Rows to release, with nobody to answer.
  bool wanted_ ABSL_GUARDED_BY(mutex_) = false;           // There may be something to fetch, and room for it.
  bool left_ ABSL_GUARDED_BY(mutex_) = false;             // Nothing of it concerns the database any more.

  // The loop's thread only.
  int64_t id_ = 0;
  int64_t group_ = 0;
  std::vector<Topic> topics_;
  size_t first_topic_ = 0;
};

}  // namespace messaging::sqlite

#endif  // SQLITE_MEMBER_H_
