// What a lost connection, or a server that was away, costs: nothing lost, and nothing twice of what can be known.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/outgoing.h"
#include "redis/redis_broker.h"
#include "redis/testing/with_server.h"
#include "tests/faultproxy/fault_proxy.h"

namespace messaging {
namespace {

using faultproxy::FaultProxy;
using redis_testing::Connect;
using redis_testing::Joined;
using redis_testing::kLimit;
using redis_testing::NewMessage;
using redis_testing::Other;
using redis_testing::Send;
using redis_testing::Start;
using ::testing::ElementsAre;

class RedisSendAgainTest : public testing::TestWithParam<int> {};

TEST_P(RedisSendAgainTest, WhatWasStoredIsNotSentAgain) {
  const auto server = Start();
  FaultProxy proxy(server->port());
  auto broker = Connect(absl::StrCat("redis://127.0.0.1:", proxy.port()), {{"partitions", absl::StrCat(GetParam())}});
  ASSERT_TRUE(broker.ok());
  ASSERT_EQ(Send(**broker, "before"), absl::OkStatus());
  proxy.SetToClient({.silent = true});
  std::vector<OutgoingPtr> messages;
  // Of one id and time: what tells them apart is the rest.
  const absl::Time time = absl::Now();
  for (int i = 0; i < 200; ++i) {
    messages.push_back(std::make_shared<Outgoing>(
        Message{.topic = "t", .payload = absl::StrCat(i), .key = absl::StrCat(i % 7), .id = "same", .timestamp = time},
        absl::Now() + kLimit, nullptr));
    (*broker)->Publish(messages.back());
  }
  ASSERT_TRUE(proxy.AwaitUnheard(100 * 20, kLimit)) << "the last ones wait for answers";
  proxy.Reset();
  proxy.Heal();
  for (const OutgoingPtr& message : messages) {
    ASSERT_TRUE(message->WaitUntil(absl::Now() + kLimit));
    ASSERT_EQ(message->result().status(), absl::OkStatus());
  }
  Other other(*server);
  int stored = 0;
  for (const char* stream : {"t", "t/0", "t/1"}) {
    int length = 0;
    ASSERT_TRUE(absl::SimpleAtoi(other.Ask({"XLEN", stream}), &length));
    stored += length;
  }
  EXPECT_EQ(stored, 201);
}

INSTANTIATE_TEST_SUITE_P(Partitions, RedisSendAgainTest, testing::Values(0, 2));

TEST(RedisReconnectTest, WhatWasNotStoredIsSentAgainInOrder) {
  const auto server = Start();
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  ASSERT_EQ(Send(**broker, "0"), absl::OkStatus());
  server->server().Pause();
  std::vector<OutgoingPtr> messages;
  for (int i = 1; i < 50; ++i) {
    messages.push_back(NewMessage(absl::StrCat(i), "t", kLimit));
    (*broker)->Publish(messages.back());
  }
  server->server().Kill();
  ASSERT_EQ(server->server().StartAgain(), absl::OkStatus());
  for (const OutgoingPtr& message : messages) {
    ASSERT_TRUE(message->WaitUntil(absl::Now() + kLimit));
    ASSERT_EQ(message->result().status(), absl::OkStatus());
  }
  Joined joined(**broker);
  ASSERT_TRUE(joined.sink.WaitForDeliveries(50));
  const std::vector<std::string> payloads = joined.sink.payloads();
  for (int i = 0; i < 50; ++i) EXPECT_EQ(payloads[i], absl::StrCat(i));
}

TEST(RedisReconnectTest, VerdictsAreGivenAgainAndCountOnce) {
  const auto server = Start();
  FaultProxy proxy(server->port());
  auto broker = Connect(absl::StrCat("redis://127.0.0.1:", proxy.port()));
  ASSERT_TRUE(broker.ok());
  Joined joined(**broker);
  for (const char* payload : {"acknowledged", "retried", "dead", "given back"}) {
    ASSERT_EQ(Send(**broker, payload), absl::OkStatus());
  }
  ASSERT_TRUE(joined.sink.WaitForDeliveries(4));
  std::vector<Delivery> held = joined.sink.TakeAll();
  const Failure failure{.handler = "h", .status = absl::UnavailableError("no"), .attempts = 1};
  proxy.SetToClient({.silent = true});
  std::vector<Settlement> batch;
  batch.push_back(std::move(held[0]).Ack());
  batch.push_back(std::move(held[1]).RetryAfter(absl::Hours(1), failure));
  batch.push_back(std::move(held[2]).DeadLetter(failure));
  batch.push_back(std::move(held[3]).Release());
  joined.subscription->Settle(std::move(batch));
  Other other(*server);
  while (other.Ask({"XPENDING", "t", "g", "-", "+", "9", "m"}) != "0") absl::SleepFor(absl::Milliseconds(5));
  proxy.Reset();
  proxy.Heal();
  ASSERT_TRUE(joined.sink.WaitForAnswers(4));
  for (const Settlement& answer : joined.sink.TakeAnswers()) {
    // Done before the cut, or no longer ours as it was: for the engine the same.
    EXPECT_TRUE(answer.status.ok() || absl::IsCancelled(answer.status)) << answer.status;
  }
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1));
  EXPECT_THAT(joined.sink.payloads(), ElementsAre("given back"));
  EXPECT_EQ(other.Ask({"XPENDING", "t", "g", "-", "+", "9"}), "1");
  const auto lag = (*broker)->admin().Lag("t", "g");
  ASSERT_TRUE(lag.ok()) << lag.status();
  ASSERT_EQ(lag->size(), 1u);
  EXPECT_EQ((*lag)[0].retrying, 1);
  EXPECT_EQ((*lag)[0].dead, 1);
}

// A sender and a member for 3 s: at first after a tenth of a second, then seldom.
TEST(RedisReconnectTest, AServerThatIsAwayIsAskedSeldom) {
  const auto server = Start();
  FaultProxy proxy(server->port());
  auto broker = Connect(absl::StrCat("redis://127.0.0.1:", proxy.port()));
  ASSERT_TRUE(broker.ok());
  ASSERT_EQ(Send(**broker, "before"), absl::OkStatus());
  Joined joined(**broker);
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1));
  const int64_t before = proxy.accepted();
  proxy.Down();
  const OutgoingPtr waits = NewMessage("waits", "t", kLimit);
  (*broker)->Publish(waits);
  absl::SleepFor(absl::Seconds(3));  // The fault's length.
  const int64_t tries = proxy.accepted() - before;
  EXPECT_GE(tries, 2);
  EXPECT_LE(tries, 20);
  proxy.Heal();
  EXPECT_TRUE(waits->WaitUntil(absl::Now() + kLimit));
  EXPECT_EQ(waits->result().status(), absl::OkStatus());
  EXPECT_TRUE(joined.sink.WaitForDeliveries(2));
}

TEST(RedisReconnectTest, AServerThatIsNotTrustedIsAskedSeldom) {
  const auto server = Start({.tls = true});
  FaultProxy proxy(server->port());
  auto broker = Connect(absl::StrCat("rediss://127.0.0.1:", proxy.port()));
  ASSERT_TRUE(broker.ok());
  const absl::Time limit = absl::Now() + absl::Seconds(3);
  while (absl::Now() < limit) EXPECT_EQ(Send(**broker, "secret").code(), absl::StatusCode::kUnauthenticated);
  EXPECT_LE(proxy.accepted(), 10);
}

TEST(RedisAssignmentTest, ALostServerIsToldAndItsReturn) {
  const auto server = Start();
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  Joined joined(**broker);
  EXPECT_EQ(joined.sink.assignment(), (Assignment{.group = "g"}));
  server->server().Kill();
  EXPECT_TRUE(joined.sink.WaitForAssignment(
      [](const Assignment& now) { return now.missing.starts_with("connects again: "); }, kLimit));
  ASSERT_EQ(server->server().StartAgain(), absl::OkStatus());
  EXPECT_TRUE(joined.sink.WaitForAssignment([](const Assignment& now) { return now.missing.empty(); }, kLimit));
}

// Of members beyond the number of partitions it is not said that anything is missing.
TEST(RedisAssignmentTest, PartitionsAreCountedAsTheyComeAndGo) {
  const auto server = Start();
  auto broker = Connect(server->url(), {{"partitions", "2"}, {"claim_idle", "2s"}});
  ASSERT_TRUE(broker.ok());
  const auto has = [](int partitions) {
    return [partitions](const Assignment& now) { return now.missing.empty() && now.partitions == partitions; };
  };
  Joined first(**broker, "t", "g", "first");
  EXPECT_TRUE(first.sink.WaitForAssignment(has(2), kLimit)) << first.sink.assignment().missing;
  {
    Joined second(**broker, "t", "g", "second");
    EXPECT_TRUE(second.sink.WaitForAssignment(has(1), kLimit)) << second.sink.assignment().missing;
    EXPECT_TRUE(first.sink.WaitForAssignment(has(1), kLimit));
    Joined third(**broker, "t", "g", "third");
    EXPECT_TRUE(third.sink.WaitForAssignment(has(0), kLimit)) << third.sink.assignment().missing;
  }
  EXPECT_TRUE(first.sink.WaitForAssignment(has(2), kLimit));
}

// Its connection may not be back yet: what it holds stays its own for as long as with a server that was there.
TEST(RedisReconnectTest, AfterTheServerWasAwayOthersAreGivenTime) {
  const absl::Duration idle = absl::Seconds(2);
  const auto server = Start();
  auto broker = Connect(server->url(), {{"claim_idle", absl::FormatDuration(idle)}});
  ASSERT_TRUE(broker.ok());
  ASSERT_EQ(Send(**broker, "of another"), absl::OkStatus());
  {
    Other other(*server);
    ASSERT_EQ(other.Ask({"XGROUP", "CREATE", "t", "g", "0"}), "OK");
    ASSERT_EQ(other.Ask({"XREADGROUP", "GROUP", "g", "another", "STREAMS", "t", ">"}), "1");
  }
  Joined joined(**broker);
  ASSERT_EQ(server->server().Stop(), absl::OkStatus());
  absl::SleepFor(idle + absl::Milliseconds(100));  // The fault's length.
  ASSERT_EQ(server->server().StartAgain(), absl::OkStatus());
  const absl::Time back = absl::Now();
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1)) << "in the end it is taken for gone";
  EXPECT_GE(absl::Now() - back, idle);
  EXPECT_TRUE(joined.sink.TakeFirst().record()->suspect);
}

TEST(RedisReconnectTest, WhatIsTakenOverKeepsToTheRoom) {
  constexpr size_t kRoom = 10;
  const auto server = Start();
  Other other(*server);
  for (const char* topic : {"t", "u"}) {
    ASSERT_EQ(other.Ask({"XGROUP", "CREATE", topic, "g", "0", "MKSTREAM"}), "OK");
    for (int i = 0; i < 50; ++i) other.Ask({"XADD", topic, "*", "payload", absl::StrCat(i)});
    ASSERT_EQ(other.Ask({"XREADGROUP", "GROUP", "g", "dead", "STREAMS", topic, ">"}), "1");
  }
  auto broker = Connect(server->url(), {{"claim_idle", "100ms"}});
  ASSERT_TRUE(broker.ok());
  FakeSink sink;
  sink.set_room({.messages = kRoom, .bytes = 1 << 20});
  auto subscription =
      (*broker)->Subscribe({.group = "g", .topics = {{.topic = "t"}, {.topic = "u"}}, .member = "m"}, &sink);
  ASSERT_TRUE(subscription.ok());
  ASSERT_EQ((*subscription)->Start(), absl::OkStatus());
  size_t handled = 0, suspects = 0;
  while (handled < 100 && sink.WaitForDeliveries(1, kLimit)) {
    const absl::Duration watch = handled < 3 * kRoom ? absl::Milliseconds(300) : absl::ZeroDuration();
    EXPECT_FALSE(sink.WaitForDeliveries(kRoom + 2, watch));
    std::vector<Delivery> held = sink.TakeAll();
    std::vector<Settlement> batch;
    for (Delivery& delivery : held) {
      suspects += delivery.record()->suspect ? 1 : 0;
      batch.push_back(std::move(delivery).Ack());
    }
    handled += batch.size();
    (*subscription)->Settle(std::move(batch));
    (*subscription)->Wake();
  }
  EXPECT_EQ(handled, 100u);
  EXPECT_EQ(suspects, 100u);
  EXPECT_EQ((*subscription)->Close(absl::Now() + kLimit), absl::OkStatus());
}

// A read that the server got after its connection was lost gives messages to a member that never hears of it.
TEST(RedisReconnectTest, WhatTheServerGaveUnheardIsFound) {
  const auto server = Start();
  auto broker = Connect(server->url(), {{"claim_idle", "600ms"}});
  ASSERT_TRUE(broker.ok());
  Other other(*server);
  ASSERT_EQ(Send(**broker, "first"), absl::OkStatus());
  Joined joined(**broker, "t", "g", "me", {.messages = 1, .bytes = 1 << 20});
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1)) << "and there is no room for another read";
  ASSERT_EQ(Send(**broker, "unheard"), absl::OkStatus());
  ASSERT_EQ(other.Ask({"XREADGROUP", "GROUP", "g", "me", "STREAMS", "t", ">"}), "1");
  ASSERT_TRUE(joined.sink.WaitForDeliveries(2));
  EXPECT_THAT(joined.sink.payloads(), ElementsAre("first", "unheard"));
}

}  // namespace
}  // namespace messaging
