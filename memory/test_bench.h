// What the tests of the memory broker share: a broker with simulated time, sending and settling in a line.
#ifndef MEMORY_TEST_BENCH_H_
#define MEMORY_TEST_BENCH_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "memory/memory_broker.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/clock.h"
#include "messaging/broker/delivery.h"
#include "messaging/broker/testing/fake_sink.h"
#include "messaging/message.h"
#include "messaging/outgoing.h"

namespace messaging {

// A member of a group, with what it was given.
struct TestMember {
  std::unique_ptr<FakeSink> sink = std::make_unique<FakeSink>();
  std::shared_ptr<Subscription> subscription;

  void Settle(Settlement settlement) {
    std::vector<Settlement> batch;
    batch.push_back(std::move(settlement));
    subscription->Settle(std::move(batch));
  }
  void AckAll() {
    for (Delivery& delivery : sink->TakeAll()) Settle(std::move(delivery).Ack());
  }
};

inline OutgoingPtr Publish(Broker& broker, Message message, absl::Time deadline = absl::InfiniteFuture()) {
  auto outgoing = std::make_shared<Outgoing>(std::move(message), deadline, nullptr);
  broker.Publish(outgoing);
  return outgoing;
}

inline OutgoingPtr Publish(Broker& broker, std::string topic, std::string payload,
                           std::optional<std::string> key = std::nullopt) {
  return Publish(broker, Message{.topic = std::move(topic), .payload = std::move(payload), .key = std::move(key)});
}

// Joins a group for one topic, and starts.
inline TestMember Join(Broker& broker, std::string topic, std::string group, StartAt start_at = StartAt::kBeginning,
                       bool ordered = true) {
  TestMember member;
  SubscribeOptions options{.group = std::move(group), .topics = {{.topic = std::move(topic)}}, .start_at = start_at};
  options.topics[0].ordered = ordered;
  member.subscription = broker.Subscribe(std::move(options), member.sink.get()).value();
  if (!member.subscription->Start().ok()) std::abort();
  return member;
}

inline void StepAll(MemoryBroker& broker) {
  while (broker.Step()) {
  }
}

inline std::vector<DeadLetter> List(Broker& broker, const DeadLetterFilter& filter = {}) {
  std::vector<DeadLetter> letters;
  if (!broker.dead_letters()
           .List(filter,
                 [&](const DeadLetter& letter) {
                   letters.push_back(letter);
                   return true;
                 })
           .ok()) {
    std::abort();
  }
  return letters;
}

}  // namespace messaging

#endif  // MEMORY_TEST_BENCH_H_
