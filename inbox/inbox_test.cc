// Handlers that are idempotent, over the memory broker and both databases.
#include "inbox/inbox.h"

#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/messaging.h"
#include "messaging/testing/harness.h"
#include "sql/connection.h"
#include "tests/servers/postgres_server.h"

namespace messaging::inbox {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class InboxTest : public ::testing::TestWithParam<sql::Dialect> {
 protected:
  InboxTest() {
    url_ = GetParam() == sql::Dialect::kPostgres
               ? servers::SharedPostgresServer().url()
               : absl::StrCat("sqlite://", ::testing::TempDir(), "/inbox-", getpid(), "-", ++files, ".db");
    db_ = *sql::Open(url_);
    EXPECT_TRUE(db_->Script("DROP TABLE IF EXISTS messaging_inbox; DROP TABLE IF EXISTS effects;"
                            "CREATE TABLE effects(text TEXT)")
                    .ok());
    EXPECT_TRUE(CreateTable(*db_).ok());
  }

  // Writes what it is called with; "fail" fails the first time, after it has written.
  std::unique_ptr<TestHarness> Harness(HandlerOptions options) {
    options.topics = {"topic"};
    HarnessOptions harness_options;
    for (const char* name : {"First", "Second"}) {
      if (name == std::string("Second") && !two_handlers_) break;
      harness_options.handlers.push_back(MakeHandler(
          name,
          [this](const std::string& text, Transaction& db) {
            ++calls_;
            if (absl::Status status = db.Execute("INSERT INTO effects VALUES($1)", {text}).status(); !status.ok()) {
              return status;
            }
            return text == "fail" && calls_ == 1 ? absl::UnavailableError("failed") : absl::OkStatus();
          },
          options));
    }
    auto harness = std::make_unique<TestHarness>(harness_options);
    harness->providers().ProvidePerLane<sql::Connection>([url = url_] { return sql::Open(url); });
    harness->providers().ProvidePerMessage<Transaction>(
        [](sql::Connection& db) { return sql::Begin<Transaction>(db); });
    return harness;
  }

  int64_t Effects() { return *db_->Number("SELECT count(*) FROM effects"); }

  static inline int files = 0;
  std::string url_;
  std::unique_ptr<sql::Connection> db_;
  bool two_handlers_ = false;
  int calls_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Databases, InboxTest, ::testing::Values(sql::Dialect::kSqlite, sql::Dialect::kPostgres),
                         [](const auto& info) { return info.param == sql::Dialect::kSqlite ? "Sqlite" : "Postgres"; });

TEST_P(InboxTest, AMessageThatComesTwiceIsHandledOnce) {
  auto harness = Harness({.idempotent = true});
  harness->broker().DuplicateNext(1);
  harness->Publish("topic", "text");
  harness->RunUntilIdle();
  EXPECT_THAT(harness->handled(), SizeIs(2));  // Both deliveries ended well.
  EXPECT_EQ(calls_, 1);
  EXPECT_EQ(Effects(), 1);
}

TEST_P(InboxTest, WithoutTheOptionItIsHandledTwice) {
  auto harness = Harness({});
  harness->broker().DuplicateNext(1);
  harness->Publish("topic", "text");
  harness->RunUntilIdle();
  EXPECT_EQ(Effects(), 2);
}

TEST_P(InboxTest, TheSameTextInTwoMessagesIsHandledTwice) {
  auto harness = Harness({.idempotent = true});
  harness->Publish("topic", "text");
  harness->Publish("topic", "text");
  harness->RunUntilIdle();
  EXPECT_EQ(Effects(), 2);
}

TEST_P(InboxTest, EachHandlerOfAMessageHasItsOwnOnce) {
  two_handlers_ = true;
  auto harness = Harness({.idempotent = true});
  harness->broker().DuplicateNext(1);
  harness->Publish("topic", "text");
  harness->RunUntilIdle();
  EXPECT_EQ(Effects(), 2);
}

TEST_P(InboxTest, AFailedAttemptLeavesNeitherEffectNorMarker) {
  auto harness = Harness({.idempotent = true});
  harness->Publish("topic", "fail");
  harness->RunUntilIdle();
  EXPECT_EQ(Effects(), 0);
  harness->Advance(absl::Seconds(1));
  EXPECT_EQ(calls_, 2);
  EXPECT_EQ(Effects(), 1);
  EXPECT_THAT(harness->dead_letters(), IsEmpty());
}

TEST_P(InboxTest, CleanForgetsWhatIsOld) {
  auto harness = Harness({.idempotent = true});
  harness->Publish("topic", "text");
  harness->RunUntilIdle();
  EXPECT_EQ(*Clean(*db_, absl::Hours(1)), 0);
  EXPECT_EQ(*Clean(*db_, -absl::Hours(1)), 1);
}

TEST_P(InboxTest, TwoAtOnceAreOne) {
  Record record;
  record.id = "one";
  const Received received(&record, "group", "handler", 1, 1, absl::InfiniteFuture());
  std::atomic<int> marked{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      auto db = *sql::Open(url_);
      auto transaction = *sql::Begin<Transaction>(*db);
      absl::StatusOr<bool> is_new = transaction->MarkHandled(received);
      ASSERT_TRUE(is_new.ok()) << is_new.status();
      if (*is_new) ++marked;
      EXPECT_TRUE(transaction->Commit().ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(marked, 1);
}

TEST(InboxMistakesTest, AnIdempotentHandlerWithoutATransactionIsAnErrorAtStart) {
  TestHarness harness({.handlers = {MakeHandler("Handler", [](const std::string&) { return absl::OkStatus(); },
                                                {.topics = {"topic"}, .idempotent = true})}});
  const absl::Status status = harness.Start();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("Handler is idempotent, but takes nothing that can mark"));
}

TEST(InboxMistakesTest, ABatchIsNotIdempotent) {
  TestHarness harness(
      {.handlers = {MakeHandler("Handler",
                                [](absl::Span<const std::string> all) { return std::vector<absl::Status>(all.size()); },
                                {.topics = {"topic"}, .idempotent = true})}});
  EXPECT_THAT(std::string(harness.Start().message()), HasSubstr("idempotent is not for batches"));
}

TEST(InboxMistakesTest, AMessageWithoutAnIdIsNotGuessedAt) {
  auto db = *sql::Open(absl::StrCat(::testing::TempDir(), "/no-id-", getpid(), ".db"));
  ASSERT_TRUE(CreateTable(*db).ok());
  Record record;
  const Received received(&record, "group", "handler", 1, 1, absl::InfiniteFuture());
  auto transaction = *sql::Begin<Transaction>(*db);
  EXPECT_EQ(transaction->MarkHandled(received).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace messaging::inbox
