#include "messaging/internal/send_deadlines.h"

#include <algorithm>
#include <utility>

#include "messaging/broker/clock.h"

namespace messaging::internal {
namespace {

// Of a slot: 64 ms.
int64_t NumberOf(absl::Time deadline) { return absl::ToUnixMillis(deadline) >> 6; }

// Null: it is just being freed.
OutgoingPtr Hold(SendLink* link) { return static_cast<Outgoing*>(link)->weak_from_this().lock(); }

}  // namespace

void SendDeadlines::Track(Outgoing& send) {
  const absl::Time deadline = send.deadline();
  const int64_t number = NumberOf(deadline);
  absl::MutexLock lock(&mutex_);
  if (stopped_) return;
  if (last_ == nullptr || number != last_number_) {
    DropEmptySlots();
    last_number_ = number;
    last_ = &slots_[number];
  }
  send.InsertBefore(last_->ring);
  if (!thread_.joinable()) {
    thread_ = std::thread([this] { Run(); });
  } else if (deadline < wake_at_) {
    wake_at_ = deadline;
    changed_.Signal();
  }
}

void SendDeadlines::Forget(Outgoing& send) {
  absl::MutexLock lock(&mutex_);
  if (send.next != nullptr) send.Remove();
}

// The first ones: with equal durations they become empty in their order.
void SendDeadlines::DropEmptySlots() {
  while (!slots_.empty()) {
    Slot& first = slots_.begin()->second;
    if (first.ring.next != &first.ring) return;
    if (&first == last_) last_ = nullptr;
    slots_.erase(slots_.begin());
  }
}

std::vector<OutgoingPtr> SendDeadlines::Open() const {
  std::vector<OutgoingPtr> sends;
  absl::MutexLock lock(&mutex_);
  for (const auto& [number, slot] : slots_) {
    for (SendLink* link = slot.ring.next; link != &slot.ring; link = link->next) {
      if (OutgoingPtr send = Hold(link)) sends.push_back(std::move(send));
    }
  }
  return sends;
}

// Those that are due, and sets when to look again.
std::vector<OutgoingPtr> SendDeadlines::TakeDue(absl::Time now) {
  std::vector<OutgoingPtr> due;
  DropEmptySlots();
  wake_at_ = absl::InfiniteFuture();
  for (auto& [number, slot] : slots_) {
    for (SendLink* link = slot.ring.next; link != &slot.ring;) {
      SendLink* const next = link->next;
      const absl::Time deadline = static_cast<Outgoing*>(link)->deadline();
      if (deadline > now) {
        wake_at_ = std::min(wake_at_, deadline);
      } else if (OutgoingPtr send = Hold(link)) {
        link->Remove();
        due.push_back(std::move(send));
      }
      link = next;
    }
    if (wake_at_ != absl::InfiniteFuture()) break;
  }
  return due;
}

void SendDeadlines::Run() {
  mutex_.Lock();
  while (!stopped_) {
    const absl::Time now = Clock::Steady().Now();
    std::vector<OutgoingPtr> due = TakeDue(now);
    if (due.empty()) {
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
