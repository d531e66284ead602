#include "examples/orders/database.h"

#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace orders {
namespace {

std::string FreshPath(const std::string& name) {
  const std::string path = ::testing::TempDir() + "/" + name + "." + std::to_string(getpid());
  for (const char* end : {"", "-wal", "-shm"}) unlink((path + end).c_str());
  return path;
}

int64_t Orders(Database& db) { return db.Number("SELECT count(*) FROM orders")->value(); }

TEST(Database, CommitKeeps) {
  const std::string path = FreshPath("commit");
  auto db = *Database::Open(path);
  auto transaction = *db->Begin();
  ASSERT_EQ(*transaction->Execute("INSERT INTO orders VALUES(?, ?, ?)", {7, 3, 1.5}), 1);
  ASSERT_TRUE(transaction->Commit().ok());
  EXPECT_EQ(Orders(**Database::Open(path)), 1);
}

TEST(Database, RollbackUndoes) {
  auto db = *Database::Open(FreshPath("rollback"));
  auto transaction = *db->Begin();
  ASSERT_TRUE(transaction->Execute("INSERT INTO orders VALUES(1, 1, 1)").ok());
  transaction->Rollback();
  EXPECT_EQ(Orders(*db), 0);
}

TEST(Database, DestroyedTransactionIsRolledBackAndAnotherCanBegin) {
  auto db = *Database::Open(FreshPath("destroyed"));
  (*db->Begin())->Execute("INSERT INTO orders VALUES(1, 1, 1)").IgnoreError();
  EXPECT_EQ(Orders(*db), 0);
  EXPECT_TRUE(db->Begin().ok());
}

TEST(Database, SecondTransactionOfOneConnectionIsRefused) {
  auto db = *Database::Open(FreshPath("second"));
  auto transaction = *db->Begin();
  EXPECT_FALSE(db->Begin().ok());
  EXPECT_TRUE(transaction->Commit().ok());
}

TEST(Database, FailedStatementSaysWhyAndLeavesTheTransactionUsable) {
  auto db = *Database::Open(FreshPath("failed"));
  auto transaction = *db->Begin();
  ASSERT_TRUE(transaction->Execute("INSERT INTO orders VALUES(1, 1, 1)").ok());
  absl::Status status = transaction->Execute("INSERT INTO orders VALUES(1, 1, 1)").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_NE(status.message().find("UNIQUE"), std::string::npos) << status;
  EXPECT_TRUE(transaction->Commit().ok());
  EXPECT_EQ(Orders(*db), 1);
}

TEST(Database, NumberWithoutARowIsNone) {
  auto db = *Database::Open(FreshPath("none"));
  EXPECT_EQ(*db->Number("SELECT total FROM orders WHERE order_id = ?", {9}), std::nullopt);
}

TEST(Database, ManyMayMakeAndOpenTheSameFileAtOnce) {
  for (int round = 0; round < 20; ++round) {
    const std::string path = FreshPath("many");
    std::vector<std::thread> threads;
    std::atomic<int> opened = 0;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        absl::StatusOr<std::unique_ptr<Database>> db = Database::Open(path);
        EXPECT_TRUE(db.ok()) << db.status();
        opened += db.ok() && (*db)->Begin().ok();
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(opened, 8);
  }
}

TEST(Database, PathThatCannotBeOpenedIsNamed) {
  absl::Status status = Database::Open("/nonexistent/folder/orders.db").status();
  EXPECT_NE(status.message().find("/nonexistent/folder/orders.db"), std::string::npos) << status;
}

}  // namespace
}  // namespace orders
