// One observer for those who tell, several who listen.
#ifndef MESSAGING_INTERNAL_OBSERVER_RELAY_H_
#define MESSAGING_INTERNAL_OBSERVER_RELAY_H_

#include <atomic>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "messaging/observer.h"

namespace messaging::internal {

// Tells each observer that was added what it is told. Thread-safe; telling takes no lock.
class ObserverRelay final : public Observer {
 public:
  ObserverRelay() {
    absl::MutexLock lock(&mutex_);
    lists_.reserve(kMost + 1);
    current_ = &lists_.emplace_back();
  }

  // Not owned. Of the ninth and later ones nothing is heard.
  void Add(Observer* observer) {
    absl::MutexLock lock(&mutex_);
    if (lists_.size() > kMost) return;
    std::vector<Observer*> list = lists_.back();
    list.push_back(observer);
    lists_.push_back(std::move(list));  // Somebody may be reading the one before.
    current_.store(&lists_.back(), std::memory_order_release);
  }
  // Whom to tell, at the least cost: nobody (null), the only one, or all through this.
  Observer* target() {
    const std::vector<Observer*>& all = list();
    return all.empty() ? nullptr : all.size() == 1 ? all.front() : this;
  }

  void OnSent(std::string_view topic, size_t bytes) override {
    for (Observer* o : list()) o->OnSent(topic, bytes);
  }
  void OnSendResolved(std::string_view topic, const absl::Status& status, absl::Duration latency) override {
    for (Observer* o : list()) o->OnSendResolved(topic, status, latency);
  }
  void OnSendFailureUnseen(std::string_view topic, const absl::Status& status) override {
    for (Observer* o : list()) o->OnSendFailureUnseen(topic, status);
  }
  void OnReceived(std::string_view topic, size_t messages, size_t bytes) override {
    for (Observer* o : list()) o->OnReceived(topic, messages, bytes);
  }
  void OnHandled(std::string_view handler, std::string_view topic, const Handled& attempts) override {
    for (Observer* o : list()) o->OnHandled(handler, topic, attempts);
  }
  void OnRetry(std::string_view handler, std::string_view topic, int attempts, absl::Duration delay) override {
    for (Observer* o : list()) o->OnRetry(handler, topic, attempts, delay);
  }
  void OnDeadLetter(std::string_view handler, std::string_view topic, const absl::Status& why) override {
    for (Observer* o : list()) o->OnDeadLetter(handler, topic, why);
  }
  void OnReleased(std::string_view topic, size_t messages) override {
    for (Observer* o : list()) o->OnReleased(topic, messages);
  }
  void OnLateSettlement(std::string_view topic) override {
    for (Observer* o : list()) o->OnLateSettlement(topic);
  }
  void OnGate(std::string_view handler, Gate gate) override {
    for (Observer* o : list()) o->OnGate(handler, gate);
  }
  void OnInFlight(size_t messages, size_t bytes) override {
    for (Observer* o : list()) o->OnInFlight(messages, bytes);
  }
  void OnLaneDepth(std::string_view handler, int lane, size_t waiting) override {
    for (Observer* o : list()) o->OnLaneDepth(handler, lane, waiting);
  }
  void OnConnection(std::string_view broker, Connection state, std::string_view what) override {
    for (Observer* o : list()) o->OnConnection(broker, state, what);
  }

 private:
  static constexpr size_t kMost = 8;
  const std::vector<Observer*>& list() const { return *current_.load(std::memory_order_acquire); }

  absl::Mutex mutex_;
  std::vector<std::vector<Observer*>> lists_ ABSL_GUARDED_BY(mutex_);  // Never moved: its room is reserved.
  std::atomic<const std::vector<Observer*>*> current_;
};

}  // namespace messaging::internal

#endif  // MESSAGING_INTERNAL_OBSERVER_RELAY_H_
