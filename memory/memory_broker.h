// The in-process broker, for tests: everything a broker promises (broker.h), in memory, with time and faults in the
// test's hands. What it holds ends with the process.
//
//   SimulatedClock clock;
//   MemoryBroker broker({.clock = &clock});      // nothing moves by itself:
//   while (broker.Step()) {}                     // delivers all that is due
//   clock.AdvanceTo(broker.NextEvent());         // to the next retry
//
//   MemoryBroker broker;                         // or in real time, with a thread for each subscription
//
// By URL (target //memory): memory:// has messages of its own; brokers of memory://NAME in one process share theirs, so
// that several clients meet; native options: max_bytes, max_message_bytes, retain_bytes.
#ifndef MEMORY_MEMORY_BROKER_H_
#define MEMORY_MEMORY_BROKER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/clock.h"
#include "messaging/broker/registry.h"
#include "messaging/message.h"

namespace messaging {

namespace memory_internal {
class Store;
}  // namespace memory_internal

// Of brokers that share a name, the first one's options hold.
struct MemoryBrokerOptions {
  std::string name;                        // Shared with brokers of this name in the process. Empty: with none.
  SimulatedClock* clock = nullptr;         // Null: real time and threads. Else no thread: Step moves things.
  size_t max_message_bytes = 64 << 20;     // A larger payload is refused: InvalidArgument.
  size_t max_bytes = size_t{1} << 30;      // Past it sends are refused: ResourceExhausted. Retries never are.
  size_t retain_bytes = size_t{64} << 20;  // Past it messages that every group handled are forgotten, oldest first.
};

// Thread-safe. Outlives its subscriptions' use of it or not: each keeps what it needs.
class MemoryBroker : public Broker {
 public:
  explicit MemoryBroker(MemoryBrokerOptions options = {});
  ~MemoryBroker() override;

  std::string_view name() const override { return "memory"; }
  const Capabilities& capabilities() const override { return capabilities_; }
  void Publish(OutgoingPtr message) override;
  absl::StatusOr<std::shared_ptr<Subscription>> Subscribe(SubscribeOptions options, DeliverySink* sink) override;
  DeadLetters& dead_letters() override { return *dead_letters_; }
  absl::Status Ping(absl::Duration limit) override;
  std::vector<std::string> Warnings() override;

  // Simulated time only, on the test's thread: each subscription (of every broker of this name) gets one batch of what
  // is due, and answers that are due are given. False: there was nothing.
  bool Step();
  // When Step will next have something to do that it has not now (a retry, a late answer); InfiniteFuture: never.
  absl::Time NextEvent() const;

  // What the topic holds, oldest first, handled or not; without retries.
  std::vector<Message> messages(std::string_view topic) const;

  // Faults. Each holds for all brokers of this name; counts add up.
  void FailNextPublishes(int n, absl::Status status);    // Refuses the next n sends; nothing is stored.
  void FailNextSettlements(int n, absl::Status status);  // Refuses the next n verdicts; nothing is done.
  void DropNextAnswers(int n);           // Stores the next n sends, but never answers: unknown at their deadline.
  void DuplicateNext(int n);             // Delivers the next n messages twice, the second as redelivered.
  void DelayAnswers(absl::Duration by);  // From now on answers to sends and verdicts, given at once, come so late.
  void Pause();                          // The server is down: sends and verdicts wait, nothing is delivered.
  void Resume();                         // It is up again; what waited is done, in order.
  void Crash(const Subscription& subscription);  // Ends it as if its process was killed: what it holds becomes suspect.
  void CrashMembers();                           // Crash for all subscriptions made by this broker object.

 private:
  class Letters;
  const std::shared_ptr<memory_internal::Store> store_;
  Capabilities capabilities_;
  std::unique_ptr<DeadLetters> dead_letters_;
};

// For register.cc: reads `options.url` and `options.native`. InvalidArgument: neither memory:// nor memory://NAME, or
// an unknown native option.
absl::StatusOr<std::unique_ptr<Broker>> MakeMemoryBroker(const BrokerOptions& options);

}  // namespace messaging

#endif  // MEMORY_MEMORY_BROKER_H_
