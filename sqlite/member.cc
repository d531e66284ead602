#include "sqlite/member.h"

#include <utility>

#include "sqlite/batch.h"
#include "sqlite/loop.h"

namespace messaging::sqlite {
namespace {

// Joining waits for other processes' transactions, but not for ever.
constexpr absl::Duration kJoinLimit = absl::Seconds(30);

}  // namespace

absl::Status Member::Start() {
  if (absl::Status joined = loop_->Join(shared_from_this()); !joined.ok()) return joined;
  {
    absl::MutexLock lock(&delivering_);
    fetching_ = true;
  }
  Wake();
  return absl::OkStatus();
}

void Member::Settle(std::vector<Settlement> batch) {
  {
    absl::MutexLock lock(&mutex_);
    if (!left_) {
      verdicts_.insert(verdicts_.end(), std::make_move_iterator(batch.begin()), std::make_move_iterator(batch.end()));
      batch.clear();
    }
  }
  if (batch.empty()) return loop_->Notify();
  for (Settlement& settlement : batch) {  // Too late: what it held went back when it left.
    settlement.status = absl::CancelledError("the subscription is closed");
    if (settlement.verdict == Settlement::Verdict::kBegin) continue;
    Batch::Free(static_cast<WorkRecord*>(settlement.delivery.Take()));
  }
  sink_->Settled(std::move(batch));
}

void Member::Wake() {
  {
    absl::MutexLock lock(&mutex_);
    wanted_ = true;
  }
  loop_->Notify();
}

void Member::StopFetching() {
  absl::MutexLock lock(&delivering_);
  fetching_ = false;
}

absl::Status Member::Close(absl::Time deadline) {
  StopFetching();
  return loop_->Leave(shared_from_this(), deadline);
}

absl::StatusOr<int64_t> Member::Backlog() {
  auto messages = std::make_shared<int64_t>(0);  // The loop may still count after the limit.
  absl::Status counted = loop_->Run(
      [self = shared_from_this(), messages](Store& store) -> absl::Status {
        *messages = 0;
        for (const Topic& topic : self->topics_) {
          absl::StatusOr<int64_t> backlog = store.Backlog(self->group_, topic.id, self->loop_->Now());
          if (!backlog.ok()) return backlog.status();
          *messages += *backlog;
        }
        return absl::OkStatus();
      },
      absl::Now() + kJoinLimit);
  if (!counted.ok()) return counted;
  return *messages;
}

void Member::Drop(Record* record) {
  auto* mine = static_cast<WorkRecord*>(record);
  {
    absl::MutexLock lock(&mutex_);
    if (!left_) dropped_.push_back(mine->work);
  }
  Batch::Free(mine);
  loop_->Notify();
}

}  // namespace messaging::sqlite
