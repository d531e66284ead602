// Orders are written with messages in one transaction, relayed, and handled with effects in a transaction, each by
// processes of its own. Each step of each is once the last that a process reaches: SIGKILL, and another goes on. At the
// end each order has its effect exactly once, and those of one key are in order.
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "inbox/inbox.h"
#include "outbox/outbox.h"
#include "sql/connection.h"
#include "tests/servers/postgres_server.h"

namespace messaging {
namespace {

constexpr int64_t kOrders = 60;
std::string worker_path;  // NOLINT: set by main.

struct Death {
  const char* mode;
  const char* step;
  int times;
};

class ExactlyOnceTest : public ::testing::TestWithParam<std::tuple<sql::Dialect, Death>> {
 protected:
  void SetUp() override {
    const std::string base = absl::StrCat(::testing::TempDir(), "/", getpid(), "-", ++scenarios);
    if (std::get<0>(GetParam()) == sql::Dialect::kPostgres) {
      database_ = servers::SharedPostgresServer().url();
    } else {
      database_ = absl::StrCat("sqlite://", base, "-shop.db");
    }
    messages_ = absl::StrCat("sqlite://", base, "-messages.db");
    db_ = *sql::Open(database_);
    const char* id = db_->dialect() == sql::Dialect::kSqlite ? "INTEGER PRIMARY KEY"
                                                             : "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY";
    const absl::Status made = db_->Script(absl::StrCat(
        "DROP TABLE IF EXISTS messaging_inbox; DROP TABLE IF EXISTS messaging_outbox; DROP TABLE IF EXISTS orders;"
        "DROP TABLE IF EXISTS effects; CREATE TABLE orders(id BIGINT PRIMARY KEY);"
        "CREATE TABLE effects(id ",
        id, ", message_key TEXT, order_id BIGINT)"));
    ASSERT_TRUE(made.ok()) << made;
    ASSERT_TRUE(outbox::CreateTable(*db_).ok());
    ASSERT_TRUE(inbox::CreateTable(*db_).ok());
  }

  void TearDown() override {
    for (const pid_t pid : running_) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
  }

  pid_t Start(const char* mode, const Death* death = nullptr) {
    std::vector<std::string> argv = {worker_path, mode, database_, messages_, absl::StrCat(kOrders)};
    if (death != nullptr) argv.insert(argv.end(), {death->step, absl::StrCat(death->times)});
    std::vector<char*> pointers;
    for (std::string& argument : argv) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    pid_t pid = -1;
    EXPECT_EQ(posix_spawn(&pid, worker_path.c_str(), nullptr, nullptr, pointers.data(), environ), 0);
    running_.push_back(pid);
    return pid;
  }

  // How it ended, as waitpid says; -1 when it did not within the limit.
  int AwaitEnd(pid_t pid) {
    const absl::Time limit = absl::Now() + absl::Minutes(4);
    int status = -1;
    while (waitpid(pid, &status, WNOHANG) == 0) {
      if (absl::Now() > limit) return -1;
      absl::SleepFor(absl::Milliseconds(5));
    }
    std::erase(running_, pid);
    return status;
  }

  static inline int scenarios = 0;
  std::string database_, messages_;
  std::unique_ptr<sql::Connection> db_;
  std::vector<pid_t> running_;
};

TEST_P(ExactlyOnceTest, WhateverStepIsTheLast) {
  const Death& death = std::get<1>(GetParam());
  std::map<std::string, pid_t> roles;
  for (const std::string mode : {"write", "relay", "consume"}) {
    roles[mode] = Start(mode.c_str(), mode == death.mode ? &death : nullptr);
  }
  const int killed = AwaitEnd(roles[death.mode]);
  ASSERT_TRUE(WIFSIGNALED(killed) && WTERMSIG(killed) == SIGKILL) << "it ended otherwise: " << killed;
  roles[death.mode] = Start(death.mode);
  for (const auto& [mode, pid] : roles) ASSERT_EQ(AwaitEnd(pid), 0) << mode;

  EXPECT_EQ(*db_->Number("SELECT count(*) FROM orders"), kOrders);
  EXPECT_EQ(*db_->Number("SELECT count(*) FROM effects"), kOrders);
  EXPECT_EQ(*db_->Number("SELECT count(DISTINCT order_id) FROM effects"), kOrders);
  EXPECT_EQ(outbox::MeasureLag(*db_)->waiting, 0);
  std::map<std::string, int64_t> last;
  absl::StatusOr<sql::Result> effects = db_->Execute("SELECT message_key, order_id FROM effects ORDER BY id");
  for (const sql::Row& row : effects->rows) {
    const auto [found, is_first] = last.try_emplace(sql::TextOf(row[0]), sql::NumberOf(row[1]));
    if (is_first) continue;
    EXPECT_LT(found->second, sql::NumberOf(row[1])) << "key " << found->first;
    found->second = sql::NumberOf(row[1]);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Steps, ExactlyOnceTest,
    ::testing::Combine(::testing::Values(sql::Dialect::kSqlite, sql::Dialect::kPostgres),
                       ::testing::Values(Death{"write", "row written", 20}, Death{"write", "message written", 20},
                                         Death{"write", "order committed", 20}, Death{"relay", "elected", 1},
                                         Death{"relay", "read", 2}, Death{"relay", "sent", 2},
                                         Death{"relay", "confirmed", 2}, Death{"relay", "deleted", 2},
                                         Death{"consume", "handling", 20}, Death{"consume", "handled", 20},
                                         Death{"consume", "effect committed", 20})),
    [](const auto& info) {
      const Death& death = std::get<1>(info.param);
      return absl::StrCat(std::get<0>(info.param) == sql::Dialect::kSqlite ? "Sqlite" : "Postgres", "_",
                          absl::StrReplaceAll(death.step, {{" ", "_"}}));
    });

}  // namespace
}  // namespace messaging

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  messaging::worker_path = argv[1];
  return RUN_ALL_TESTS();
}
