// Real time and threads; brokers of one name; URLs.
#include <atomic>
#include <map>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "memory/memory_broker.h"
#include "memory/test_bench.h"

namespace messaging {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Duration kSoon = absl::Seconds(20);  // Only failing tests wait so long.

TEST(MemoryThreads, IdleSubscriptionWakesForAMessage) {
  MemoryBroker broker;
  EXPECT_FALSE(broker.capabilities().simulated_time);
  TestMember member = Join(broker, "t", "g");
  for (int i = 0; i < 3; ++i) {
    Publish(broker, "t", std::to_string(i));
    ASSERT_TRUE(member.sink->WaitForDeliveries(1, kSoon));
    EXPECT_THAT(member.sink->payloads(), ElementsAre(std::to_string(i)));
    member.AckAll();
  }
}

TEST(MemoryThreads, RetryIsNeverEarly) {
  MemoryBroker broker;
  TestMember member = Join(broker, "t", "g");
  Publish(broker, "t", "1");
  ASSERT_TRUE(member.sink->WaitForDeliveries(1, kSoon));
  const absl::Time began = Clock::Steady().Now();
  member.Settle(member.sink->TakeFirst().RetryAfter(absl::Milliseconds(50), {.handler = "h", .attempts = 1}));
  ASSERT_TRUE(member.sink->WaitForDeliveries(1, kSoon));
  EXPECT_GE(Clock::Steady().Now() - began, absl::Milliseconds(50));
  EXPECT_EQ(member.sink->TakeFirst().record()->attempts, 1);
}

TEST(MemoryThreads, DeadlineOfAnUnansweredSendIsKept) {
  MemoryBroker broker;
  broker.DropNextAnswers(1);
  const OutgoingPtr outgoing = Publish(broker, {.topic = "t"}, Clock::Steady().Now() + absl::Milliseconds(20));
  EXPECT_TRUE(outgoing->WaitUntil(absl::Now() + kSoon));
  EXPECT_TRUE(absl::IsDeadlineExceeded(outgoing->result().status()));
}

TEST(MemoryThreads, VerdictsOfAPauseAreAnsweredAfterIt) {
  MemoryBroker broker;
  TestMember member = Join(broker, "t", "g");
  Publish(broker, "t", "1");
  ASSERT_TRUE(member.sink->WaitForDeliveries(1, kSoon));
  broker.Pause();
  member.AckAll();
  std::thread resuming([&] { broker.Resume(); });
  EXPECT_TRUE(member.subscription->Close(absl::InfiniteFuture()).ok());  // Waits for it.
  resuming.join();
  EXPECT_TRUE(member.sink->TakeAnswers().at(0).status.ok());
}

// Handles what comes, as quickly as it can; counts, and checks the order and uniqueness of each key.
class CountingSink : public DeliverySink {
 public:
  void Deliver(std::vector<Delivery> batch) override {
    std::vector<Settlement> verdicts;
    {
      absl::MutexLock lock(mutex_);
      for (Delivery& delivery : batch) {
        const Record& record = *delivery.record();
        const int number = std::stoi(std::string(record.payload));
        int& last = (*last_)[std::string(record.key)];
        if (number != last + 1) ++*wrong_;
        last = number;
        verdicts.push_back(std::move(delivery).Ack());
      }
    }
    subscription->Settle(std::move(verdicts));
  }
  void Settled(std::vector<Settlement> batch) override {
    for (const Settlement& settlement : batch) handled += settlement.status.ok();
  }
  Room room() const override { return {100, 1 << 20}; }
  void Revoke(std::function<bool(const Record&)>) override {}
  void Fail(absl::Status) override {}

  CountingSink(absl::Mutex* mutex, std::map<std::string, int>* last, int* wrong)
      : mutex_(mutex), last_(last), wrong_(wrong) {}
  std::shared_ptr<Subscription> subscription;
  std::atomic<int> handled = 0;

 private:
  absl::Mutex* const mutex_;
  std::map<std::string, int>* const last_;
  int* const wrong_;
};

TEST(MemoryThreads, ConcurrentSendersAndMembersLoseNothingAndKeepKeysInOrder) {
  constexpr int kSenders = 3;
  constexpr int kEach = 5000;
  MemoryBroker broker({.retain_bytes = 0});
  absl::Mutex mutex;
  std::map<std::string, int> last;
  int wrong = 0;
  std::vector<std::unique_ptr<CountingSink>> sinks;
  for (int i = 0; i < 3; ++i) {
    sinks.push_back(std::make_unique<CountingSink>(&mutex, &last, &wrong));
    sinks[i]->subscription = broker.Subscribe({.group = "g", .topics = {{.topic = "t"}}}, sinks[i].get()).value();
  }
  for (auto& sink : sinks) ASSERT_TRUE(sink->subscription->Start().ok());
  std::vector<std::thread> senders;
  for (int sender = 0; sender < kSenders; ++sender) {
    senders.emplace_back([&broker, sender] {
      for (int i = 0; i < kEach; ++i) {
        Publish(broker, "t", std::to_string(i / 2 + 1), std::to_string(sender) + (i % 2 == 0 ? "a" : "b"));
      }
    });
  }
  for (std::thread& sender : senders) sender.join();
  auto handled = [&] {
    int sum = 0;
    for (auto& sink : sinks) sum += sink->handled;
    return sum;
  };
  const absl::Time limit = absl::Now() + kSoon;
  while (handled() < kSenders * kEach && absl::Now() < limit) std::this_thread::yield();
  EXPECT_EQ(handled(), kSenders * kEach);
  for (auto& sink : sinks) EXPECT_TRUE(sink->subscription->Close(absl::InfiniteFuture()).ok());
  EXPECT_EQ(wrong, 0);
}

TEST(MemoryThreads, NothingIsDeliveredAfterStopFetching) {
  for (int round = 0; round < 50; ++round) {
    MemoryBroker broker;
    TestMember member = Join(broker, "t", "g");
    std::thread sender([&] {
      for (int i = 0; i < 200; ++i) Publish(broker, "t", "x");
    });
    member.subscription->StopFetching();
    const size_t had = member.sink->payloads().size();
    sender.join();
    EXPECT_EQ(member.sink->payloads().size(), had);
    EXPECT_TRUE(member.subscription->Close(absl::InfiniteFuture()).ok());
  }
}

TEST(MemoryThreads, BrokersOfOneNameMeet) {
  auto make = [](std::string url) { return MakeMemoryBroker({.url = std::move(url)}).value(); };
  const auto a = make("memory://meet");
  const auto b = make("memory://meet");
  const auto apart = make("memory://other");
  const auto unnamed = make("memory://");
  TestMember with_a = Join(*a, "t", "g");
  TestMember with_other = Join(*apart, "t", "g");
  TestMember with_unnamed = Join(*unnamed, "t", "g");
  Publish(*b, "t", "1");
  ASSERT_TRUE(with_a.sink->WaitForDeliveries(1, kSoon));
  Publish(*unnamed, "t", "2");
  ASSERT_TRUE(with_unnamed.sink->WaitForDeliveries(1, kSoon));
  EXPECT_THAT(with_unnamed.sink->payloads(), ElementsAre("2"));
  EXPECT_THAT(with_other.sink->payloads(), IsEmpty());
}

TEST(MemoryThreads, WrongUrlAndOptionsAreRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(MakeMemoryBroker({.url = "sqlite:///x"}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(MakeMemoryBroker({.url = "memory:x"}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(MakeMemoryBroker({.native = {{"max_byte", "1"}}}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(MakeMemoryBroker({.native = {{"max_bytes", "many"}}}).status()));
  const auto broker = MakeMemoryBroker({.native = {{"max_message_bytes", "7"}}});
  ASSERT_TRUE(broker.ok());
  EXPECT_EQ((*broker)->capabilities().max_message_bytes, 7u);
}

}  // namespace
}  // namespace messaging
