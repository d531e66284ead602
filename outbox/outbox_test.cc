// The outbox and its relay over the memory broker, on both databases.
#include "outbox/outbox.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "memory/memory_broker.h"
#include "messaging/messaging.h"
#include "outbox/relay.h"
#include "outbox/table.h"
#include "sql/connection.h"
#include "tests/servers/postgres_server.h"

namespace messaging::outbox {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Duration kLimit = absl::Seconds(60);

class OutboxTest : public ::testing::TestWithParam<sql::Dialect> {
 protected:
  OutboxTest() {
    url_ = GetParam() == sql::Dialect::kPostgres
               ? servers::SharedPostgresServer().url()
               : absl::StrCat("sqlite://", ::testing::TempDir(), "/outbox-", getpid(), "-", ++files, ".db");
    db_ = *sql::Open(url_);
    EXPECT_TRUE(db_->Script("DROP TABLE IF EXISTS messaging_outbox").ok());
    EXPECT_TRUE(CreateTable(*db_).ok());
    client_ = *Client::Create({.broker = "memory", .url = absl::StrCat("memory://outbox-", ++files)});
  }

  MemoryBroker& broker() { return static_cast<MemoryBroker&>(client_->broker()); }
  std::unique_ptr<Relay> StartRelay(RelayOptions options = {}) {
    options.database = url_;
    return *Relay::Start(std::move(options), client_->producer());
  }
  // In a transaction of its own.
  absl::Status Write(const std::string& text, SendOptions options = {}) {
    auto transaction = *sql::Begin(*db_);
    if (absl::Status status = Outbox(*transaction).Send("topic", text, options).status(); !status.ok()) return status;
    return transaction->Commit();
  }
  std::vector<std::string> Sent() {
    std::vector<std::string> sent;
    for (const Message& message : broker().messages("topic")) sent.push_back(message.payload);
    return sent;
  }
  template <typename Condition>
  bool Await(Condition condition) {
    const absl::Time limit = absl::Now() + kLimit;
    while (!condition() && absl::Now() < limit) absl::SleepFor(absl::Milliseconds(2));
    return condition();
  }
  bool AwaitEmpty() {
    return Await([&] { return MeasureLag(*db_)->waiting == 0; });
  }

  static inline int files = 0;
  std::string url_;
  std::unique_ptr<sql::Connection> db_;
  std::unique_ptr<Client> client_;
};

INSTANTIATE_TEST_SUITE_P(Databases, OutboxTest, ::testing::Values(sql::Dialect::kSqlite, sql::Dialect::kPostgres),
                         [](const auto& info) { return info.param == sql::Dialect::kSqlite ? "Sqlite" : "Postgres"; });

TEST_P(OutboxTest, WhatIsCommittedIsSentWithAllItsParts) {
  auto relay = StartRelay();
  auto transaction = *sql::Begin(*db_);
  Message message{.topic = "topic",
                  .payload = std::string("\0\xff", 2),
                  .key = std::string("k\0y", 3),
                  .headers = {{"a", "1"}, {"a", std::string("\0", 1)}, {"", ""}},
                  .content_type = "text/plain",
                  .timestamp = absl::FromUnixMicros(1'700'000'000'123'456)};
  absl::StatusOr<std::string> id = Outbox(*transaction).Send(message);
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_THAT(Sent(), IsEmpty());
  ASSERT_TRUE(transaction->Commit().ok());
  ASSERT_TRUE(AwaitEmpty());
  ASSERT_THAT(broker().messages("topic"), SizeIs(1));
  const Message sent = broker().messages("topic")[0];
  EXPECT_EQ(sent.id, *id);
  EXPECT_EQ(sent.payload, message.payload);
  EXPECT_EQ(sent.key, message.key);
  EXPECT_EQ(sent.headers, message.headers);
  EXPECT_EQ(sent.content_type, message.content_type);
  EXPECT_EQ(sent.timestamp, message.timestamp);
}

TEST_P(OutboxTest, WhatIsRolledBackIsNot) {
  auto relay = StartRelay();
  {
    auto transaction = *sql::Begin(*db_);
    ASSERT_TRUE(Outbox(*transaction).Send("topic", "gone").ok());
  }
  ASSERT_TRUE(Write("kept").ok());
  ASSERT_TRUE(AwaitEmpty());
  EXPECT_THAT(Sent(), ElementsAre("kept"));
}

TEST_P(OutboxTest, ACommitWakesTheRelayAtOnce) {
  auto relay = StartRelay({.safety_pause = absl::Hours(1)});
  ASSERT_TRUE(Write("first").ok());
  ASSERT_TRUE(AwaitEmpty());
  absl::SleepFor(absl::Milliseconds(100));  // Asleep by now; where not, the test shows less.
  ASSERT_TRUE(Write("second").ok());
  EXPECT_TRUE(AwaitEmpty());
}

TEST_P(OutboxTest, AKeysMessagesKeepTheirOrderThroughFailures) {
  std::vector<std::string> expected;
  for (int i = 0; i < 30; ++i) {
    expected.push_back(absl::StrCat(i));
    ASSERT_TRUE(Write(expected.back(), {.key = "key"}).ok());
  }
  broker().FailNextPublishes(3, absl::UnavailableError("down"));
  auto relay = StartRelay({.batch = 7});
  ASSERT_TRUE(AwaitEmpty());
  EXPECT_EQ(Sent(), expected);
}

TEST_P(OutboxTest, WhatIsRefusedForGoodIsKeptAndLetsOthersPass) {
  ASSERT_TRUE(Write("bad", {.key = "key"}).ok());
  ASSERT_TRUE(Write("good", {.key = "key"}).ok());
  broker().FailNextPublishes(1, absl::InvalidArgumentError("too large"));
  auto relay = StartRelay();
  ASSERT_TRUE(AwaitEmpty());
  EXPECT_THAT(Sent(), ElementsAre("good"));
  EXPECT_EQ(MeasureLag(*db_)->refused, 1);
  EXPECT_THAT(sql::TextOf(db_->Execute("SELECT refusal FROM messaging_outbox")->rows[0][0]), HasSubstr("too large"));
  EXPECT_EQ(*RetryRefused(*db_), 1);
  ASSERT_TRUE(Await([&] { return Sent().size() == 2; }));
}

TEST_P(OutboxTest, OneOfManyRelaysIsElectedAndItsEndElectsAnother) {
  std::vector<std::unique_ptr<Relay>> relays;
  for (int i = 0; i < 3; ++i) relays.push_back(StartRelay({.election_pause = absl::Milliseconds(10)}));
  const auto elected = [&] {
    return std::count_if(relays.begin(), relays.end(), [](const auto& relay) { return relay->elected(); });
  };
  ASSERT_TRUE(Await([&] { return elected() == 1; }));
  for (int left = 2; left > 0; --left) {
    relays.erase(std::find_if(relays.begin(), relays.end(), [](const auto& relay) { return relay->elected(); }));
    ASSERT_TRUE(Await([&] { return elected() == 1; }));
    ASSERT_TRUE(Write(absl::StrCat(left)).ok());
    ASSERT_TRUE(AwaitEmpty());
  }
  EXPECT_THAT(Sent(), ElementsAre("2", "1"));
}

TEST_P(OutboxTest, ABrokerThatIsDownHoldsMessagesAndLosesNone) {
  broker().Pause();
  auto relay = StartRelay();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Write(absl::StrCat(i)).ok());
  relay->Stop(absl::Milliseconds(50));
  const absl::StatusOr<Lag> lag = MeasureLag(*db_);
  EXPECT_EQ(lag->waiting, 10);
  EXPECT_GT(lag->oldest, absl::ZeroDuration());
  EXPECT_FALSE(relay->elected());
  broker().Resume();
  relay = StartRelay();
  ASSERT_TRUE(AwaitEmpty());
  EXPECT_GE(Sent().size(), 10u);  // At least once: what was in flight comes again.
}

TEST_P(OutboxTest, HousekeepingIsDoneByTheElected) {
  std::atomic<int> calls{0};
  const auto count = [&](sql::Connection&) {
    ++calls;
    return absl::OkStatus();
  };
  auto first = StartRelay({.housekeeping = count});
  ASSERT_TRUE(Await([&] { return calls == 1; }));
  auto second = StartRelay({.election_pause = absl::Milliseconds(5), .housekeeping = count});
  ASSERT_TRUE(Write("text").ok());
  ASSERT_TRUE(AwaitEmpty());
  EXPECT_EQ(calls, 1);
}

TEST_P(OutboxTest, MistakesAreToldWhereTheyAreMade) {
  auto transaction = *sql::Begin(*db_);
  EXPECT_EQ(Outbox(*transaction).Send("no topic", "text").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Outbox(*transaction).Send("topic", "text", {.headers = {{"messaging-x", ""}}}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// A number is given before the commit: without the lock the later commit would be sent first.
TEST(PostgresOutboxTest, TransactionsOfOneKeyCommitInTheOrderOfTheirNumbers) {
  auto db = *sql::Open(servers::SharedPostgresServer().url());
  auto other = *sql::Open(servers::SharedPostgresServer().url());
  ASSERT_TRUE(CreateTable(*db).ok());
  auto first = *sql::Begin(*db);
  ASSERT_TRUE(Outbox(*first).Send("topic", "first", {.key = "key"}).ok());
  auto second = *sql::Begin(*other);
  ASSERT_TRUE(second->Execute("SET LOCAL lock_timeout = 200").ok());
  EXPECT_TRUE(Outbox(*second).Send("topic", "another key", {.key = "other"}).ok());
  EXPECT_EQ(Outbox(*second).Send("topic", "second", {.key = "key"}).status().code(), absl::StatusCode::kUnavailable);
}

TEST(PostgresOutboxTest, ARestartedServerIsComeBackTo) {
  auto db = *sql::Open(servers::SharedPostgresServer().url());
  ASSERT_TRUE(db->Script("DROP TABLE IF EXISTS messaging_outbox").ok());
  auto client = *Client::Create({.broker = "memory", .url = "memory://restart"});
  auto relay = *Relay::Start({.database = servers::SharedPostgresServer().url()}, client->producer());
  const absl::Time limit = absl::Now() + kLimit;
  while (!relay->elected() && absl::Now() < limit) absl::SleepFor(absl::Milliseconds(2));
  const absl::Status restarted = servers::SharedPostgresServer().Restart();
  ASSERT_TRUE(restarted.ok()) << restarted;
  auto transaction = *sql::Begin(*db);
  ASSERT_TRUE(Outbox(*transaction).Send("topic", "text").ok());
  ASSERT_TRUE(transaction->Commit().ok());
  while (relay->sent() == 0 && absl::Now() < limit) absl::SleepFor(absl::Milliseconds(2));
  EXPECT_EQ(relay->sent(), 1);
}

TEST(TableTest, DamagedHeadersAreNotRead) {
  const std::string packed = PackHeaders({{"name", "value"}});
  EXPECT_TRUE(UnpackHeaders(packed).ok());
  for (size_t size = 1; size < packed.size(); ++size) {
    EXPECT_EQ(UnpackHeaders(packed.substr(0, size)).status().code(), absl::StatusCode::kDataLoss) << size;
  }
}

}  // namespace
}  // namespace messaging::outbox
