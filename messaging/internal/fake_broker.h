// A broker for the tests of the sending side: keeps what is published until the test answers it.
#ifndef MESSAGING_INTERNAL_FAKE_BROKER_H_
#define MESSAGING_INTERNAL_FAKE_BROKER_H_

#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "messaging/broker/broker.h"

namespace messaging::internal {

// Thread-safe. Only sending works.
class FakeBroker : public Broker {
 public:
  // Answers each message as it is published; without it, messages are kept.
  void AnswerWith(std::function<void(const OutgoingPtr&)> answer) {
    absl::MutexLock lock(&mutex_);
    answer_ = std::move(answer);
  }
  void AcceptAll() {
    AnswerWith([](const OutgoingPtr& message) { message->Complete(Receipt{}); });
  }
  std::vector<OutgoingPtr> TakeKept() {
    absl::MutexLock lock(&mutex_);
    return std::exchange(kept_, {});
  }

  void Publish(OutgoingPtr message) override {
    std::function<void(const OutgoingPtr&)> answer;
    {
      absl::MutexLock lock(&mutex_);
      answer = answer_;
      if (answer == nullptr) kept_.push_back(message);
    }
    if (answer != nullptr) answer(message);
  }

  std::string_view name() const override { return "fake"; }
  const Capabilities& capabilities() const override { return capabilities_; }
  absl::StatusOr<std::shared_ptr<Subscription>> Subscribe(SubscribeOptions, DeliverySink*) override {
    return absl::UnimplementedError("subscribe");
  }
  DeadLetters& dead_letters() override { return dead_letters_; }
  absl::Status Ping(absl::Duration) override { return absl::OkStatus(); }

 private:
  class NoDeadLetters : public DeadLetters {
    absl::Status List(const DeadLetterFilter&, std::function<bool(const DeadLetter&)>) override {
      return absl::OkStatus();
    }
    absl::StatusOr<int64_t> Replay(const DeadLetterFilter&) override { return 0; }
    absl::StatusOr<int64_t> Purge(const DeadLetterFilter&) override { return 0; }
  };

  const Capabilities capabilities_;
  NoDeadLetters dead_letters_;
  absl::Mutex mutex_;
  std::function<void(const OutgoingPtr&)> answer_ ABSL_GUARDED_BY(mutex_);
  std::vector<OutgoingPtr> kept_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace messaging::internal

#endif  // MESSAGING_INTERNAL_FAKE_BROKER_H_
