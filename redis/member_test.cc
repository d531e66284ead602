// How a member shares a server with others: its connections, its claims, and where all of it lies.
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "redis/keys.h"
#include "redis/redis_broker.h"
#include "redis/testing/with_server.h"

namespace messaging {
namespace {

using redis_testing::Connect;
using redis_testing::Joined;
using redis_testing::kLimit;
using redis_testing::Other;
using redis_testing::Send;
using redis_testing::Start;
using ::testing::ElementsAre;

// Of topic t and group g: a field of the entry that is pending at `place`, the first one's is 1.
std::string Pending(Other& other, int place, const char* field) {
  static const std::map<std::string, int> kFields = {{"id", 1}, {"owner", 2}, {"idle", 3}, {"deliveries", 4}};
  return other.Ask({"EVAL", "return redis.call('XPENDING','t','g','-','+',9)[tonumber(ARGV[1])][tonumber(ARGV[2])]",
                    "0", absl::StrCat(place), absl::StrCat(kFields.at(field))});
}

// Until the member has renewed its claim to it.
void AwaitRenewal(Other& other, int place) {
  const absl::Time limit = absl::Now() + kLimit;
  int before = 0, now = 0;
  while (now >= before) {
    ASSERT_LT(absl::Now(), limit);
    before = now;
    absl::SleepFor(absl::Milliseconds(5));
    ASSERT_TRUE(absl::SimpleAtoi(Pending(other, place, "idle"), &now));
  }
}

TEST(RedisMemberTest, ManyTopicsShareTwoConnections) {
  const auto server = Start();
  Other other(*server);
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  FakeSink sink;
  SubscribeOptions options = {.group = "g", .member = "m"};
  for (int i = 0; i < 50; ++i) options.topics.push_back({.topic = absl::StrCat("t", i)});
  auto subscription = (*broker)->Subscribe(options, &sink);
  ASSERT_TRUE(subscription.ok());
  ASSERT_EQ((*subscription)->Start(), absl::OkStatus());
  for (int i = 0; i < 50; ++i) other.Ask({"XADD", absl::StrCat("t", i), "*", "payload", absl::StrCat(i)});
  EXPECT_TRUE(sink.WaitForDeliveries(50, kLimit));
  const std::vector<std::string> ours = absl::StrSplit(other.Ask({"CLIENT", "LIST"}), "name=test");
  EXPECT_EQ(ours.size() - 1, 2u);
  sink.TakeAll();
  EXPECT_EQ((*subscription)->Close(absl::Now() + kLimit), absl::OkStatus());
}

// A read that finds nothing blocks for a second.
TEST(RedisMemberTest, AcknowledgementsDoNotWaitBehindARead) {
  const auto server = Start();
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  Joined joined(**broker);
  absl::Duration took;
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(Send(**broker, "m"), absl::OkStatus());
    ASSERT_TRUE(joined.sink.WaitForDeliveries(1));
    const absl::Time before = absl::Now();
    joined.Settle(Settlement::Verdict::kAck);
    took += absl::Now() - before;
  }
  EXPECT_LT(took, absl::Seconds(8));
}

TEST(RedisMemberTest, AGroupBeginsAtTheBeginningOrNow) {
  const auto server = Start();
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  ASSERT_EQ(Send(**broker, "before"), absl::OkStatus());
  for (const StartAt start_at : {StartAt::kBeginning, StartAt::kNow}) {
    FakeSink sink;
    const std::string group = start_at == StartAt::kNow ? "now" : "all";
    auto subscription =
        (*broker)->Subscribe({.group = group, .topics = {{.topic = "t"}}, .start_at = start_at, .member = "m"}, &sink);
    ASSERT_TRUE(subscription.ok());
    ASSERT_EQ((*subscription)->Start(), absl::OkStatus());
    ASSERT_EQ(Send(**broker, group), absl::OkStatus());
    if (start_at == StartAt::kNow) {
      ASSERT_TRUE(sink.WaitForDeliveries(1));
      EXPECT_THAT(sink.payloads(), ElementsAre("now"));
    } else {
      ASSERT_TRUE(sink.WaitForDeliveries(2));
      EXPECT_THAT(sink.payloads(), ElementsAre("before", "all"));
    }
    sink.TakeAll();
    EXPECT_EQ((*subscription)->Close(absl::Now() + kLimit), absl::OkStatus());
  }
}

TEST(RedisClaimTest, WhatTakesLongIsRenewedAndNotCounted) {
  const auto server = Start();
  Other other(*server);
  auto broker = Connect(server->url(), {{"claim_idle", "3s"}});
  ASSERT_TRUE(broker.ok());
  Joined joined(**broker);
  ASSERT_EQ(Send(**broker, "slow"), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1));
  for (int i = 0; i < 2; ++i) AwaitRenewal(other, 1);
  EXPECT_EQ(Pending(other, 1, "owner"), "m");
  EXPECT_EQ(Pending(other, 1, "deliveries"), "1");
  joined.Settle(Settlement::Verdict::kAck);
}

// A member that stood still for too long: what it had is another's, and it neither takes that back nor settles it.
TEST(RedisClaimTest, WhatAnotherTookIsNotTakenBack) {
  const auto server = Start();
  Other other(*server);
  auto broker = Connect(server->url(), {{"claim_idle", "3s"}});
  ASSERT_TRUE(broker.ok());
  Joined joined(**broker);
  for (const char* payload : {"taken", "own"}) ASSERT_EQ(Send(**broker, payload), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(2));
  const std::string id = Pending(other, 1, "id");
  ASSERT_EQ(other.Ask({"XCLAIM", "t", "g", "another", "0", id, "JUSTID"}), "1");
  AwaitRenewal(other, 2);
  EXPECT_EQ(Pending(other, 1, "owner"), "another");
  EXPECT_EQ(Pending(other, 2, "owner"), "m");
  std::vector<Settlement> batch;
  batch.push_back(joined.sink.TakeFirst().RetryAfter(
      absl::ZeroDuration(), {.handler = "h", .status = absl::UnavailableError("no"), .attempts = 1}));
  joined.subscription->Settle(std::move(batch));
  ASSERT_TRUE(joined.sink.WaitForAnswers(1));
  EXPECT_EQ(joined.sink.TakeAnswers()[0].status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(Pending(other, 1, "owner"), "another");
  EXPECT_EQ(other.Ask({"XLEN", redis::GroupKeys("t", -1, "g").retry}), "0") << "no copy";
  joined.Settle(Settlement::Verdict::kAck);
}

// On a server of a cluster, which refuses a command or script whose keys lie in several slots.
TEST(RedisClusterTest, AllKeysOfAStreamShareASlot) {
  const auto server =
      Start({.arguments = {"--cluster-enabled", "yes", "--cluster-port", absl::StrCat(servers::FreePort())}});
  Other other(*server);
  ASSERT_EQ(other.Ask({"CLUSTER", "ADDSLOTSRANGE", "0", "16383"}), "OK");
  const absl::Time limit = absl::Now() + kLimit;
  while (!absl::StrContains(other.Ask({"CLUSTER", "INFO"}), "cluster_state:ok")) {
    ASSERT_LT(absl::Now(), limit);
    absl::SleepFor(absl::Milliseconds(10));
  }
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  const std::vector<std::string> payloads = {"acknowledged", "retried", "waits", "dead", "begun", "released"};
  Joined joined(**broker);
  for (const std::string& payload : payloads) ASSERT_EQ(Send(**broker, payload), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(payloads.size()));
  std::vector<Delivery> held = joined.sink.TakeAll();
  const Failure failure{.handler = "h", .status = absl::UnavailableError("no"), .attempts = 1};
  std::vector<Settlement> batch;
  batch.push_back(std::move(held[0]).Ack());
  batch.push_back(std::move(held[1]).RetryAfter(absl::ZeroDuration(), failure));
  batch.push_back(std::move(held[2]).RetryAfter(absl::Hours(1), failure));
  batch.push_back(std::move(held[3]).DeadLetter(failure));
  batch.push_back(std::move(held[4]).Begin("h", 1));
  batch.push_back(std::move(held[5]).Release());
  joined.subscription->Settle(std::move(batch));
  ASSERT_TRUE(joined.sink.WaitForAnswers(payloads.size()));
  std::vector<Settlement> answers = joined.sink.TakeAnswers();  // The one that is begun is still in hand.
  for (const Settlement& answer : answers) EXPECT_EQ(answer.status, absl::OkStatus());
  EXPECT_TRUE(joined.sink.WaitForDeliveries(2));
  EXPECT_THAT(joined.sink.payloads(), testing::UnorderedElementsAre("retried", "released"));

  const std::string keys = other.Ask({"EVAL", "return table.concat(redis.call('KEYS', '*'), ' ')", "0"});
  const redis::GroupKeys known("t", -1, "g");
  EXPECT_THAT(std::vector<std::string>(absl::StrSplit(keys, ' ')),
              testing::UnorderedElementsAre("t", known.retry, known.due, known.held, known.begun, known.dead));
  const redis::GroupKeys of_partition("t", 3, "g");
  for (const redis::GroupKeys& of_stream : {known, of_partition}) {
    for (const std::string& key :
         {of_stream.retry, of_stream.due, of_stream.held, of_stream.begun, of_stream.owner, of_stream.dead}) {
      EXPECT_EQ(other.Ask({"CLUSTER", "KEYSLOT", key}), other.Ask({"CLUSTER", "KEYSLOT", of_stream.stream})) << key;
    }
  }
  const redis::MemberKeys members("t", "g");
  EXPECT_EQ(other.Ask({"CLUSTER", "KEYSLOT", members.alive}), other.Ask({"CLUSTER", "KEYSLOT", members.active}));
}

}  // namespace
}  // namespace messaging
