#include "messaging/broker/testing/fake_sink.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace messaging {

void FakeSink::Deliver(std::vector<Delivery> batch) {
  absl::MutexLock lock(&mutex_);
  batches_.push_back(batch.size());
  std::move(batch.begin(), batch.end(), std::back_inserter(deliveries_));
}

void FakeSink::Settled(std::vector<Settlement> batch) {
  absl::MutexLock lock(&mutex_);
  std::move(batch.begin(), batch.end(), std::back_inserter(answers_));
}

Room FakeSink::room() const {
  absl::MutexLock lock(&mutex_);
  Room left = room_;
  for (const Delivery& delivery : deliveries_) {
    left.messages -= std::min<size_t>(left.messages, 1);
    left.bytes -= std::min(left.bytes, delivery.record()->ByteSize());
  }
  return left;
}

void FakeSink::Revoke(std::function<bool(const Record&)> which) {
  std::vector<Delivery> dropped;  // Dropping calls the driver: not under the mutex.
  absl::MutexLock lock(&mutex_);
  ++revokes_;
  auto kept = std::stable_partition(deliveries_.begin(), deliveries_.end(),
                                    [&](const Delivery& delivery) { return !which(*delivery.record()); });
  std::move(kept, deliveries_.end(), std::back_inserter(dropped));
  deliveries_.erase(kept, deliveries_.end());
}

void FakeSink::Assigned(Assignment now) {
  absl::MutexLock lock(&mutex_);
  assignment_ = std::move(now);
}

void FakeSink::Fail(absl::Status why) {
  absl::MutexLock lock(&mutex_);
  failure_ = std::move(why);
}

void FakeSink::set_room(Room room) {
  absl::MutexLock lock(&mutex_);
  room_ = room;
}

bool FakeSink::WaitForDeliveries(size_t n, absl::Duration limit) const {
  auto arrived = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return deliveries_.size() >= n; };
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&arrived), limit);
}

bool FakeSink::WaitForAssignment(const std::function<bool(const Assignment&)>& wanted, absl::Duration limit) const {
  auto so = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return wanted(assignment_); };
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&so), limit);
}

bool FakeSink::WaitForAnswers(size_t n, absl::Duration limit) const {
  auto arrived = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return answers_.size() >= n; };
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&arrived), limit);
}

std::vector<Delivery> FakeSink::TakeAll() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(deliveries_, {});
}

Delivery FakeSink::TakeFirst() {
  absl::MutexLock lock(&mutex_);
  if (deliveries_.empty()) return {};
  Delivery first = std::move(deliveries_.front());
  deliveries_.erase(deliveries_.begin());
  return first;
}

std::vector<Settlement> FakeSink::TakeAnswers() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(answers_, {});
}

std::vector<std::string> FakeSink::payloads() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> payloads;
  for (const Delivery& delivery : deliveries_) payloads.emplace_back(delivery.record()->payload);
  return payloads;
}

std::vector<size_t> FakeSink::batches() const {
  absl::MutexLock lock(&mutex_);
  return batches_;
}

size_t FakeSink::revokes() const {
  absl::MutexLock lock(&mutex_);
  return revokes_;
}

Assignment FakeSink::assignment() const {
  absl::MutexLock lock(&mutex_);
  return assignment_;
}

absl::Status FakeSink::failure() const {
  absl::MutexLock lock(&mutex_);
  return failure_;
}

}  // namespace messaging
