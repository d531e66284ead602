#include "messaging/internal/send_deadlines.h"

#include <algorithm>
#include <utility>

#include "messaging/broker/clock.h"

namespace messaging::internal {

void SendDeadlines::Track(const OutgoingPtr& send) {
  absl::MutexLock lock(&mutex_);
  if (stopped_) return;
  if (heap_.size() >= sweep_at_) {
    std::erase_if(heap_, [](const Entry& entry) { return entry.send.expired(); });
    std::make_heap(heap_.begin(), heap_.end(), &Later);
    sweep_at_ = std::max<size_t>(1024, 2 * heap_.size());
  }
  const absl::Time deadline = send->deadline();
  heap_.push_back({deadline, send});
  std::push_heap(heap_.begin(), heap_.end(), &Later);
  if (!thread_.joinable()) {
    thread_ = std::thread([this] { Run(); });
  } else if (deadline < wake_at_) {
    wake_at_ = deadline;
    changed_.Signal();
  }
}

std::vector<OutgoingPtr> SendDeadlines::Open() const {
  std::vector<OutgoingPtr> sends;
  {
    absl::MutexLock lock(&mutex_);
    sends.reserve(heap_.size());
    for (const Entry& entry : heap_) {
      if (OutgoingPtr send = entry.send.lock()) sends.push_back(std::move(send));
    }
  }
  // Without the lock: a message may be freed here.
  std::erase_if(sends, [](const OutgoingPtr& send) { return send->resolved(); });
  return sends;
}

std::vector<OutgoingPtr> SendDeadlines::TakeDue(absl::Time now) {
  std::vector<OutgoingPtr> due;
  while (!heap_.empty() && (heap_.front().deadline <= now || heap_.front().send.expired())) {
    std::pop_heap(heap_.begin(), heap_.end(), &Later);
    if (OutgoingPtr send = heap_.back().send.lock()) due.push_back(std::move(send));
    heap_.pop_back();
  }
  return due;
}

void SendDeadlines::Run() {
  mutex_.Lock();
  while (!stopped_) {
    const absl::Time now = Clock::Steady().Now();
    std::vector<OutgoingPtr> due = TakeDue(now);
    if (due.empty()) {
      wake_at_ = heap_.empty() ? absl::InfiniteFuture() : heap_.front().deadline;
      changed_.WaitWithTimeout(&mutex_, wake_at_ - now);
      continue;
    }
    mutex_.Unlock();
    for (const OutgoingPtr& send : due) send->CompleteAsOverdue();
    due.clear();
    mutex_.Lock();
  }
  mutex_.Unlock();
}

void SendDeadlines::Stop() {
  std::thread thread;
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    changed_.Signal();
    thread = std::move(thread_);
  }
  if (thread.joinable()) thread.join();
}

}  // namespace messaging::internal
