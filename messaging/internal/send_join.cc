#include "messaging/internal/send_join.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace messaging::internal {
namespace {

thread_local SendJoin* current_join = nullptr;

// Answers that are still missing, and the first failure. Holds no message: a message holds this.
class Answers {
 public:
  Answers(size_t missing, std::function<void(const absl::Status&)> done) : missing_(missing), done_(std::move(done)) {}

  void Add(size_t index, const absl::Status& status) {
    {
      absl::MutexLock lock(&mutex_);
      if (!status.ok() && (first_.ok() || index < first_index_)) {
        first_ = status;
        first_index_ = index;
      }
      if (--missing_ > 0) return;
    }
    done_(first_);  // Nobody adds any more.
  }

 private:
  absl::Mutex mutex_;
  size_t missing_;
  size_t first_index_ = 0;
  absl::Status first_;
  const std::function<void(const absl::Status&)> done_;
};

}  // namespace

void SendJoin::Add(OutgoingPtr send) {
  absl::MutexLock lock(&mutex_);
  empty_ = false;
  if (sends_.size() >= sweep_at_) DropAccepted();
  sends_.push_back(std::move(send));
}

void SendJoin::DropAccepted() {
  std::erase_if(sends_, [](const OutgoingPtr& send) { return send->resolved() && send->result().ok(); });
  sweep_at_ = std::max<size_t>(64, 2 * sends_.size());
}

bool SendJoin::empty() const {
  absl::MutexLock lock(&mutex_);
  return empty_;
}

void SendJoin::WhenAll(std::function<void(const absl::Status&)> done) {
  std::vector<OutgoingPtr> sends;
  {
    absl::MutexLock lock(&mutex_);
    sends.swap(sends_);
  }
  if (sends.empty()) return done(absl::OkStatus());
  auto answers = std::make_shared<Answers>(sends.size(), std::move(done));
  for (size_t i = 0; i < sends.size(); ++i) {
    sends[i]->OnResult([answers, i](const Outgoing::Result& result) { answers->Add(i, result.status()); });
  }
}

absl::Status SendJoin::Wait(absl::Time limit) {
  std::vector<OutgoingPtr> sends;
  {
    absl::MutexLock lock(&mutex_);
    sends.swap(sends_);
  }
  absl::Status first;
  for (const OutgoingPtr& send : sends) {
    send->MarkSeen();
    if (!send->WaitUntil(std::min(limit, send->deadline()))) {
      if (limit < send->deadline()) {
        first.Update(absl::DeadlineExceededError("a send was not answered in time"));
        continue;
      }
      send->CompleteAsOverdue();
      send->WaitUntil(absl::InfiniteFuture());
    }
    first.Update(send->result().status());
  }
  return first;
}

ScopedSendJoin::ScopedSendJoin(SendJoin* join) : outer_(std::exchange(current_join, join)) {}
ScopedSendJoin::~ScopedSendJoin() { current_join = outer_; }
SendJoin* ScopedSendJoin::Current() { return current_join; }

}  // namespace messaging::internal
