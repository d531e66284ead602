// What a stream no longer has, trimmed by us or deleted by others.
#include <functional>
#include <map>
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
using ::testing::HasSubstr;

using Native = std::map<std::string, std::string>;

// "" where it is not so within the limit, else what was asked for.
testing::AssertionResult Answers(Other& other, const std::vector<std::string>& question,
                                 const std::function<bool(const std::string&)>& wanted) {
  const absl::Time limit = absl::Now() + kLimit;
  std::string answer = other.Ask(question);
  while (!wanted(answer) && absl::Now() < limit) {
    absl::SleepFor(absl::Milliseconds(10));
    answer = other.Ask(question);
  }
  return wanted(answer) ? testing::AssertionSuccess() : testing::AssertionFailure() << answer;
}

bool IsAtMost(const std::string& answer, int most) {
  int number = 0;
  return absl::SimpleAtoi(answer, &number) && number <= most;
}

// A thousand messages of 1970. The server's own blocks hold 100 entries by default: trimming is by whole blocks.
void WriteOld(Other& other) {
  for (int i = 0; i < 1'000; ++i) other.Ask({"XADD", "t", absl::StrCat(i + 1, "-0"), "payload", absl::StrCat(i)});
}

void AcknowledgeFirst(Joined& joined, size_t count) {
  std::vector<Settlement> batch;
  std::vector<Delivery> all = joined.sink.TakeAll();
  for (size_t i = 0; i < count; ++i) batch.push_back({.delivery = std::move(all[i])});
  joined.subscription->Settle(std::move(batch));
  EXPECT_TRUE(joined.sink.WaitForAnswers(count));
}

class RedisRetentionTest : public testing::TestWithParam<Native> {};

INSTANTIATE_TEST_SUITE_P(LengthAndAge, RedisRetentionTest,
                         testing::Values(Native{{"max_length", "100"}, {"retention", "0"}},
                                         Native{{"retention", "1h"}}));

TEST_P(RedisRetentionTest, TrimsWhatIsHandledAndNothingElse) {
  const auto server = Start();
  Other other(*server);
  WriteOld(other);
  auto broker = Connect(server->url(), GetParam());
  ASSERT_TRUE(broker.ok());
  {
    Joined joined(**broker);  // It trims when it starts, before anything is handled.
    ASSERT_TRUE(joined.sink.WaitForDeliveries(1'000));
    EXPECT_EQ(other.Ask({"XLEN", "t"}), "1000");
    AcknowledgeFirst(joined, 500);
  }
  Joined again(**broker, "t", "g", "again");
  ASSERT_TRUE(again.sink.WaitForDeliveries(500)) << "those that were not handled are all there";
  EXPECT_TRUE(Answers(other, {"XLEN", "t"}, [](const std::string& length) { return IsAtMost(length, 600); }));
  EXPECT_FALSE(IsAtMost(other.Ask({"XLEN", "t"}), 499));
}

TEST_P(RedisRetentionTest, EachGroupCountsUnlessToldOtherwise) {
  const auto server = Start();
  Other other(*server);
  WriteOld(other);
  ASSERT_EQ(other.Ask({"XGROUP", "CREATE", "t", "idle", "0"}), "OK");
  auto broker = Connect(server->url(), GetParam());
  ASSERT_TRUE(broker.ok());
  {
    Joined joined(**broker);
    ASSERT_TRUE(joined.sink.WaitForDeliveries(1'000));
    AcknowledgeFirst(joined, 1'000);
  }
  ASSERT_EQ(other.Ask({"CONFIG", "RESETSTAT"}), "OK");
  {
    const Joined again(**broker);
    EXPECT_TRUE(Answers(other, {"INFO", "commandstats"}, [](const std::string& stats) {
      return stats.find("cmdstat_xtrim:calls=") != std::string::npos;
    }));
    EXPECT_EQ(other.Ask({"XLEN", "t"}), "1000") << "there is a group that has done nothing yet";
  }
  Native told = GetParam();
  told["trim_unhandled"] = "true";
  auto careless = Connect(server->url(), told);
  ASSERT_TRUE(careless.ok());
  const Joined last(**careless);
  EXPECT_TRUE(Answers(other, {"XLEN", "t"}, [](const std::string& length) { return IsAtMost(length, 200); }));
}

TEST(RedisDeletedTest, WhatADeadMemberHeldIsForgotten) {
  const auto server = Start();
  Other other(*server);
  ASSERT_EQ(other.Ask({"XADD", "t", "1-0", "payload", "deleted"}), "1-0");
  ASSERT_EQ(other.Ask({"XADD", "t", "2-0", "payload", "kept"}), "2-0");
  ASSERT_EQ(other.Ask({"XGROUP", "CREATE", "t", "g", "0"}), "OK");
  ASSERT_EQ(other.Ask({"XREADGROUP", "GROUP", "g", "dead", "STREAMS", "t", ">"}), "1");
  ASSERT_EQ(other.Ask({"XDEL", "t", "1-0"}), "1");
  auto broker = Connect(server->url(), {{"claim_idle", "100ms"}});
  ASSERT_TRUE(broker.ok());
  Joined joined(**broker);
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1));
  EXPECT_THAT(joined.sink.payloads(), ElementsAre("kept"));
  joined.Settle(Settlement::Verdict::kAck);
  EXPECT_TRUE(Answers(other, {"XPENDING", "t", "g", "-", "+", "9"}, [](const std::string& n) { return n == "0"; }));
  ASSERT_EQ(Send(**broker, "next"), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1));
  EXPECT_THAT(joined.sink.payloads(), ElementsAre("next"));
}

// What a read brought while the connection was lost, and was deleted before anybody heard of it.
TEST(RedisDeletedTest, WhatNobodyHeardOfIsForgotten) {
  const auto server = Start();
  Other other(*server);
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  Joined joined(**broker, "t", "g", "me", {});
  ASSERT_EQ(other.Ask({"XADD", "t", "1-0", "payload", "unheard"}), "1-0");
  ASSERT_EQ(other.Ask({"XADD", "t", "2-0", "payload", "deleted"}), "2-0");
  ASSERT_EQ(other.Ask({"XREADGROUP", "GROUP", "g", "me", "STREAMS", "t", ">"}), "1");
  ASSERT_EQ(other.Ask({"XDEL", "t", "2-0"}), "1");
  joined.sink.set_room({.messages = 100, .bytes = 1 << 20});
  other.Ask({"CLIENT", "KILL", "TYPE", "normal"});
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1));
  EXPECT_THAT(joined.sink.payloads(), ElementsAre("unheard"));
  joined.Settle(Settlement::Verdict::kAck);
  EXPECT_TRUE(Answers(other, {"XPENDING", "t", "g", "-", "+", "9"}, [](const std::string& n) { return n == "0"; }));
}

// A retry is a copy of the whole message, of the group's own: what becomes of the original does not matter to it.
TEST(RedisDeletedTest, WhatIsInHandIsSettledAndItsRetryIsWhole) {
  const auto server = Start();
  Other other(*server);
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  Joined joined(**broker);
  for (const char* payload : {"acknowledged", "retried", "retried later"}) {
    other.Ask({"XADD", "t", "*", "payload", payload, "key", "k", "h:a", "1", "h:a", "2", "type", "text/x", "id", "i"});
  }
  ASSERT_TRUE(joined.sink.WaitForDeliveries(3));
  std::vector<Delivery> held = joined.sink.TakeAll();
  const Failure failure{.handler = "h", .status = absl::UnavailableError("no"), .attempts = 1};
  std::vector<Settlement> batch;
  batch.push_back(std::move(held[2]).RetryAfter(absl::Milliseconds(300), failure));
  joined.subscription->Settle(std::move(batch));
  ASSERT_TRUE(joined.sink.WaitForAnswers(1));
  EXPECT_EQ(other.Ask({"XTRIM", "t", "MAXLEN", "0"}), "3");
  batch.clear();
  batch.push_back(std::move(held[0]).Ack());
  batch.push_back(std::move(held[1]).RetryAfter(absl::ZeroDuration(), failure));
  joined.subscription->Settle(std::move(batch));
  ASSERT_TRUE(joined.sink.WaitForAnswers(3));
  for (const Settlement& answer : joined.sink.TakeAnswers()) EXPECT_EQ(answer.status, absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(2));
  EXPECT_THAT(joined.sink.payloads(), testing::UnorderedElementsAre("retried", "retried later"));
  for (const Delivery& again : joined.sink.TakeAll()) {
    const Record& record = *again.record();
    EXPECT_EQ(record.key, "k");
    EXPECT_EQ(record.id, "i");
    EXPECT_EQ(record.content_type, "text/x");
    ASSERT_EQ(record.headers.size(), 2u);
    EXPECT_EQ(record.headers[1].value, "2");
    EXPECT_EQ(record.attempts, 1);
  }
  EXPECT_EQ(other.Ask({"XLEN", "t"}), "0") << "never to the topic, where other groups would get it";
  EXPECT_EQ(other.Ask({"XPENDING", "t", "g", "-", "+", "9"}), "0");
}

}  // namespace
}  // namespace messaging
