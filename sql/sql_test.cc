// The same tests on both databases.
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sql/connection.h"
#include "sql/sqlite.h"
#include "tests/servers/postgres_server.h"

namespace messaging::sql {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class SqlTest : public ::testing::TestWithParam<Dialect> {
 protected:
  SqlTest() {
    if (GetParam() == Dialect::kPostgres) {
      url_ = servers::SharedPostgresServer().url();
    } else {
      url_ = absl::StrCat("sqlite://", ::testing::TempDir(), "/", getpid(), "-",
                          ::testing::UnitTest::GetInstance()->random_seed(), "-", ++files, ".db");
    }
    db_ = Connect();
    EXPECT_TRUE(db_->Script("DROP TABLE IF EXISTS things;"
                            "CREATE TABLE things(id BIGINT PRIMARY KEY, name TEXT NOT NULL, raw " +
                            std::string(GetParam() == Dialect::kPostgres ? "BYTEA" : "BLOB") + ", weight FLOAT)")
                    .ok());
  }

  std::unique_ptr<Connection> Connect() { return *Open(url_); }
  absl::Status Insert(Executor& to, int64_t id) {
    return to.Execute("INSERT INTO things(id, name) VALUES($1, $2)", {id, "thing"}).status();
  }
  int64_t Count(Executor& in) { return in.Number("SELECT count(*) FROM things").value_or(-1); }

  static inline int files = 0;
  std::string url_;
  std::unique_ptr<Connection> db_;
};

INSTANTIATE_TEST_SUITE_P(Databases, SqlTest, ::testing::Values(Dialect::kSqlite, Dialect::kPostgres),
                         [](const auto& info) { return info.param == Dialect::kSqlite ? "Sqlite" : "Postgres"; });

TEST_P(SqlTest, ValuesComeBackAsTheyWereGiven) {
  const Bytes raw{std::string("\0\xff'\\x", 5)};
  ASSERT_TRUE(
      db_->Execute("INSERT INTO things(id, name, raw, weight) VALUES($1, $2, $3, $4)", {int64_t{-7}, "n'ame", raw, 2.5})
          .ok());
  ASSERT_TRUE(
      db_->Execute("INSERT INTO things(id, name, raw, weight) VALUES($1, $2, $3, $4)", {8, "", Bytes{}, Null()}).ok());
  absl::StatusOr<Result> found = db_->Execute("SELECT id, name, raw, weight FROM things ORDER BY id");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(found->rows, ElementsAre(Row{int64_t{-7}, "n'ame", raw, 2.5}, Row{int64_t{8}, "", Bytes{}, Null()}));
}

TEST_P(SqlTest, ChangedCountsTheRows) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Insert(*db_, i).ok());
  EXPECT_EQ(db_->Execute("UPDATE things SET name = $1 WHERE id > $2", {"new", 0})->changed, 2);
  EXPECT_EQ(db_->Execute("DELETE FROM things WHERE id = $1", {9})->changed, 0);
  EXPECT_EQ(db_->Execute("SELECT id FROM things")->changed, 0);
}

TEST_P(SqlTest, ErrorsHaveCodesThatSayWhatToDo) {
  ASSERT_TRUE(Insert(*db_, 1).ok());
  EXPECT_EQ(Insert(*db_, 1).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(db_->Execute("INSERT INTO things(id) VALUES($1)", {2}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(db_->Execute("SELECT nonsense FROM nowhere").status().code(), absl::StatusCode::kInternal);
}

TEST_P(SqlTest, ATransactionIsSeenByOthersOnlyWhenItIsCommitted) {
  std::unique_ptr<Connection> other = Connect();
  auto transaction = *Begin(*db_);
  ASSERT_TRUE(Insert(*transaction, 1).ok());
  EXPECT_EQ(Count(*other), 0);
  ASSERT_TRUE(transaction->Commit().ok());
  EXPECT_EQ(Count(*other), 1);
  EXPECT_EQ(transaction->Commit().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(SqlTest, WhatIsNotCommittedIsRolledBack) {
  {
    auto transaction = *Begin(*db_);
    ASSERT_TRUE(Insert(*transaction, 1).ok());
  }
  EXPECT_EQ(Count(*db_), 0);
}

// PostgreSQL answers such a COMMIT with success and rolls back.
TEST_P(SqlTest, ACommitAfterAFailedStatementNeverPretends) {
  ASSERT_TRUE(Insert(*db_, 1).ok());
  auto transaction = *Begin(*db_);
  ASSERT_TRUE(Insert(*transaction, 2).ok());
  ASSERT_FALSE(Insert(*transaction, 1).ok());
  const absl::Status committed = transaction->Commit();
  EXPECT_EQ(Count(*db_), committed.ok() ? 2 : 1);
  if (GetParam() == Dialect::kPostgres) {
    EXPECT_EQ(committed.code(), absl::StatusCode::kAborted);
  }
}

TEST_P(SqlTest, ALockIsOnesAndGivenUpWithItsConnection) {
  std::unique_ptr<Connection> other = Connect();
  EXPECT_TRUE(*db_->TryLock("relay"));
  EXPECT_TRUE(db_->HoldsLock());
  EXPECT_TRUE(*db_->TryLock("relay"));
  EXPECT_FALSE(*other->TryLock("relay"));
  EXPECT_FALSE(other->HoldsLock());
  db_.reset();
  absl::StatusOr<bool> got = false;
  while (got.ok() && !*got) got = other->TryLock("relay");  // A server takes a moment to notice.
  EXPECT_TRUE(got.ok()) << got.status();
}

TEST_P(SqlTest, ACommitEndsTheWaitOfAnother) {
  ASSERT_TRUE(db_->Wait("news", -1, absl::Hours(1)).ok());  // Begins to listen.
  absl::Notification woken;
  std::thread waiter([&] {
    EXPECT_TRUE(db_->Wait("news", -1, absl::Seconds(600)).ok());
    woken.Notify();
  });
  std::unique_ptr<Connection> other = Connect();
  auto transaction = *Begin(*other);
  ASSERT_TRUE(Insert(*transaction, 1).ok());
  if (GetParam() == Dialect::kPostgres) {
    ASSERT_TRUE(transaction->Execute("SELECT pg_notify('news', '')").ok());
    EXPECT_FALSE(woken.WaitForNotificationWithTimeout(absl::Milliseconds(200)));
  }
  ASSERT_TRUE(transaction->Commit().ok());
  EXPECT_TRUE(woken.WaitForNotificationWithTimeout(absl::Seconds(60)));
  waiter.join();
}

TEST_P(SqlTest, StopEndsAWait) {
  ASSERT_TRUE(db_->Wait("news", -1, absl::Hours(1)).ok());
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  EXPECT_TRUE(db_->Wait("news", ends[0], absl::Minutes(10)).ok());
  close(ends[0]);
  close(ends[1]);
}

TEST(PostgresTest, ALostServerFailsTheTransactionAndIsComeBackTo) {
  auto db = *Open(servers::SharedPostgresServer().url());
  ASSERT_TRUE(db->Script("DROP TABLE IF EXISTS kept; CREATE TABLE kept(id BIGINT)").ok());
  auto transaction = *Begin(*db);
  ASSERT_TRUE(transaction->Execute("INSERT INTO kept VALUES($1)", {1}).ok());
  const absl::Status restarted = servers::SharedPostgresServer().Restart();
  ASSERT_TRUE(restarted.ok()) << restarted;
  // Never on a new connection by itself: that would commit the second row without the first.
  EXPECT_EQ(transaction->Execute("INSERT INTO kept VALUES($1)", {2}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(transaction->Execute("INSERT INTO kept VALUES($1)", {3}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(transaction->Commit().ok());
  EXPECT_EQ(*db->Number("SELECT count(*) FROM kept"), 0);
  auto again = Begin(*db);
  ASSERT_TRUE(again.ok()) << again.status();
  ASSERT_TRUE((*again)->Execute("INSERT INTO kept VALUES($1)", {4}).ok());
  EXPECT_TRUE((*again)->Commit().ok());
  EXPECT_EQ(*db->Number("SELECT count(*) FROM kept"), 1);
}

TEST(PostgresTest, WhatIsNoUrlIsSaidAtOnce) {
  EXPECT_EQ(Open("postgres://host/db?nonsense=1").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Open("oracle://host/").status().code(), absl::StatusCode::kNotFound);
}

TEST(PostgresTest, TextWithANulIsRefused) {
  auto db = *Open(servers::SharedPostgresServer().url());
  EXPECT_EQ(db->Execute("SELECT $1::text", {std::string("a\0b", 3)}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace messaging::sql
