// What a server does to its clients.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/outgoing.h"
#include "rabbitmq/testing/with_server.h"

namespace messaging {
namespace {

using rabbitmq_testing::Joined;
using rabbitmq_testing::kLimit;
using rabbitmq_testing::NewMessage;
using rabbitmq_testing::Other;
using rabbitmq_testing::Send;
using rabbitmq_testing::WaitUntil;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// How many of them are, in the end.
size_t Accepted(const std::vector<OutgoingPtr>& messages) {
  size_t accepted = 0;
  for (const OutgoingPtr& message : messages) {
    accepted += message->WaitUntil(message->deadline()) && message->result().ok() ? 1 : 0;
  }
  return accepted;
}

class RabbitmqFaultsTest : public rabbitmq_testing::WithServer {
 protected:
  static void Evaluate(const std::string& expressions) {
    const auto done = server().Evaluate(expressions);
    EXPECT_TRUE(done.ok()) << done.status();
  }
  // The process that is the group's quorum queue, which does nothing then: what is asked of it has no answer, while the
  // server is well and its heartbeats come.
  void Queue(const char* what_becomes_of_it, const std::string& queue) const {
    Evaluate(
        absl::StrCat("sys:", what_becomes_of_it, "(binary_to_atom(<<\"", virtual_host_, "_", queue, "\">>, utf8))."));
  }
  // Each is looked at by the server now and then.
  static void AwaitAlarm(const std::string& name, bool raised) {
    EXPECT_TRUE(WaitUntil([&] {
      const auto alarms = server().Evaluate("rabbit_alarm:get_alarms().");
      return alarms.ok() && absl::StrContains(*alarms, name) == raised;
    })) << name;
  }
  // While an alarm is raised nothing is accepted, and nothing that was is lost; what is held is acknowledged.
  void OutlastAlarm(const std::string& name, const std::string& raise, const std::string& release) {
    constexpr size_t kMessages = 5'000;  // More than the window.
    const auto broker = NewBroker();
    Joined joined(*broker);
    ASSERT_EQ(Send(*broker, "before"), absl::OkStatus());
    ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
    Evaluate(raise);
    AwaitAlarm(name, true);
    EXPECT_FALSE(Send(*broker, "hasty", "t", absl::Seconds(1)).ok());
    std::vector<OutgoingPtr> patient;
    for (size_t i = 0; i < kMessages; ++i) {
      patient.push_back(NewMessage(absl::StrCat(i)));
      broker->Publish(patient.back());
    }
    joined.Settle(Settlement::Verdict::kAck);
    absl::SleepFor(absl::Milliseconds(500));  // The fault's length.
    EXPECT_EQ(std::count_if(patient.begin(), patient.end(), [](const auto& message) { return message->resolved(); }),
              0);
    Evaluate(release);
    AwaitAlarm(name, false);
    EXPECT_EQ(Accepted(patient), kMessages);
    std::set<std::string> seen = joined.AcknowledgeAll(kMessages);
    seen.erase("hasty");  // Its outcome was told to be unknown.
    EXPECT_EQ(seen.size(), kMessages);
  }
};

TEST_F(RabbitmqFaultsTest, AMemoryAlarm) {
  OutlastAlarm("memory", "vm_memory_monitor:set_vm_memory_high_watermark(0.00001).",
               "vm_memory_monitor:set_vm_memory_high_watermark(0.4).");
}

TEST_F(RabbitmqFaultsTest, ADiskAlarm) {
  OutlastAlarm("disk", "rabbit_disk_monitor:set_disk_free_limit(1000000000000000).",
               "rabbit_disk_monitor:set_disk_free_limit(1000000).");
}

TEST_F(RabbitmqFaultsTest, AllConnectionsAreClosed) {
  constexpr size_t kMessages = 3'000;
  const auto broker = NewBroker();
  Joined joined(*broker);
  std::vector<OutgoingPtr> sent;
  for (size_t i = 0; i < kMessages; ++i) {
    if (i == kMessages / 2) {
      ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
      EXPECT_TRUE(server().Control(absl::StrCat("close_all_connections -p ", virtual_host_, " test")).ok());
    }
    sent.push_back(NewMessage(absl::StrCat(i)));
    broker->Publish(sent.back());
  }
  EXPECT_EQ(Accepted(sent), kMessages);
  EXPECT_EQ(joined.AcknowledgeAll(kMessages).size(), kMessages);
  EXPECT_GE(joined.sink.revokes(), 1u);
  EXPECT_EQ(joined.sink.failure(), absl::OkStatus());
}

// basic.cancel: by the server.
TEST_F(RabbitmqFaultsTest, AQueueIsDeletedUnderItsConsumer) {
  for (const char* const type : {"quorum", "classic"}) {
    const std::string topic = type;
    const auto broker = NewBroker({{"queue_type", type}});
    Joined joined(*broker, {topic});
    ASSERT_EQ(Send(*broker, "one", topic), absl::OkStatus());
    ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
    ASSERT_EQ(Other(server(), virtual_host_).DeleteQueue("g/" + topic), absl::OkStatus());
    // Refused until the queue is there again: never accepted and gone.
    EXPECT_TRUE(WaitUntil([&] { return Send(*broker, "two", topic).ok(); }));
    ASSERT_TRUE(joined.sink.WaitForDeliveries(2, kLimit));
    EXPECT_THAT(joined.sink.payloads(), ElementsAre("one", "two"));
    joined.SettleAll(Settlement::Verdict::kAck);
    EXPECT_EQ(joined.sink.failure(), absl::OkStatus());
  }
}

// A channel has the server's settings of when it was opened.
TEST_F(RabbitmqFaultsTest, AHandlerLongerThanTheConsumerTimeout) {
  Evaluate(
      "application:set_env(rabbit, channel_tick_interval, 500), application:set_env(rabbit, consumer_timeout, 2000).");
  const auto broker = NewBroker({{"consumer_timeout", "2s"}});
  Joined joined(*broker);
  ASSERT_EQ(Send(*broker, "long"), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
  Delivery long_one = joined.sink.TakeFirst();
  ASSERT_TRUE(WaitUntil([&] { return joined.sink.revokes() > 0; })) << "the server takes it back";
  Evaluate(
      "application:set_env(rabbit, channel_tick_interval, 60000), "
      "application:set_env(rabbit, consumer_timeout, 1800000).");
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit)) << "and it comes again";
  EXPECT_EQ(joined.sink.payloads()[0], "long");
  std::vector<Settlement> late;
  late.push_back(std::move(long_one).Ack());
  joined.subscription->Settle(std::move(late));
  ASSERT_TRUE(joined.sink.WaitForAnswers(1, kLimit));
  EXPECT_EQ(joined.sink.TakeAnswers()[0].status.code(), absl::StatusCode::kCancelled);
  joined.Settle(Settlement::Verdict::kAck);
  ASSERT_EQ(Send(*broker, "next"), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
  EXPECT_EQ(joined.sink.payloads()[0], "next");
  joined.Settle(Settlement::Verdict::kAck);
}

TEST_F(RabbitmqFaultsTest, AHandlerLongerThanTwoHeartbeats) {
  const auto broker = NewBroker({{"heartbeat", "1s"}});
  Joined joined(*broker);
  ASSERT_EQ(Send(*broker, "long"), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
  absl::SleepFor(absl::Seconds(4));  // The server gives up after two.
  joined.Settle(Settlement::Verdict::kAck);
  EXPECT_EQ(joined.sink.revokes(), 0u);
  EXPECT_EQ(Send(*broker, "next"), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
  joined.Settle(Settlement::Verdict::kAck);
}

TEST_F(RabbitmqFaultsTest, AQueueThatDoesNotAnswerIsAskedAnew) {
  const auto broker = NewBroker({{"response_timeout", "1s"}});
  Joined joined(*broker);
  ASSERT_EQ(joined.started, absl::OkStatus());
  Queue("suspend", "g/t");
  EXPECT_TRUE(server().Control(absl::StrCat("close_all_connections -p ", virtual_host_, " test")).ok());
  EXPECT_TRUE(joined.sink.WaitForAssignment(
      [](const Assignment& now) { return absl::StrContains(now.missing, "no answer"); }, kLimit))
      << joined.sink.assignment().missing;
  Queue("resume", "g/t");
  EXPECT_TRUE(joined.sink.WaitForAssignment([](const Assignment& now) { return now.missing.empty(); }, kLimit))
      << joined.sink.assignment().missing;
  ASSERT_EQ(Send(*broker, "next"), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
  joined.Settle(Settlement::Verdict::kAck);
}

TEST_F(RabbitmqFaultsTest, WhoJoinsAQueueThatDoesNotAnswerGivesUpInTime) {
  {
    const auto broker = NewBroker();
    const Joined first(*broker);  // It makes the queue.
  }
  Queue("suspend", "g/t");
  const auto broker = NewBroker({{"response_timeout", "1s"}, {"start_timeout", "2s"}});
  const absl::Time begin = absl::Now();
  const Joined joined(*broker);
  EXPECT_EQ(joined.started.code(), absl::StatusCode::kUnavailable) << joined.started;
  EXPECT_THAT(std::string(joined.started.message()), HasSubstr("no answer"));
  EXPECT_LE(absl::Now() - begin, absl::Seconds(20)) << "so long, and longer, the server waits for its queue";
  Queue("resume", "g/t");
}

}  // namespace
}  // namespace messaging
