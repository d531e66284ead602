#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "sqlite3.h"
#include "tests/conformance/conformance.h"

namespace messaging::conformance {
namespace {

// Another program's connection to the file.
class Outsider {
 public:
  explicit Outsider(const std::string& url) : path_(absl::StripPrefix(url, "sqlite://")) {
    sqlite3_open(path_.c_str(), &database_);
    sqlite3_busy_timeout(database_, 10'000);
  }
  ~Outsider() { sqlite3_close(database_); }
  Outsider(const Outsider&) = delete;
  Outsider& operator=(const Outsider&) = delete;

  absl::Status Run(const std::string& sql, const Message& message = {}) {
    sqlite3_stmt* statement = nullptr;
    int result = sqlite3_prepare_v2(database_, sql.c_str(), -1, &statement, nullptr);
    for (int i = 1; i <= sqlite3_bind_parameter_count(statement); ++i) {
      const std::string name = sqlite3_bind_parameter_name(statement, i);
      const std::string* text = name == "@topic"     ? &message.topic
                                : name == "@payload" ? &message.payload
                                : message.key        ? &*message.key
                                                     : nullptr;
      if (text != nullptr) sqlite3_bind_blob(statement, i, text->data(), static_cast<int>(text->size()), nullptr);
    }
    if (result == SQLITE_OK) result = sqlite3_step(statement);
    sqlite3_finalize(statement);
    if (result == SQLITE_DONE || result == SQLITE_ROW) return absl::OkStatus();
    return absl::InternalError(absl::StrCat(sql, ": ", sqlite3_errmsg(database_)));
  }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
  sqlite3* database_ = nullptr;
};

// Runs one statement now and another when the function returned is called.
std::function<void()> RunNowAndLater(const std::string& url, const std::string& now, std::string later) {
  auto outsider = std::make_shared<Outsider>(url);
  EXPECT_EQ(outsider->Run(now), absl::OkStatus());
  return [outsider, later = std::move(later)] { EXPECT_EQ(outsider->Run(later), absl::OkStatus()); };
}

absl::Status SendForeign(const std::string& url, const Message& message) {
  Outsider outsider(url);
  absl::Status status = outsider.Run("INSERT OR IGNORE INTO topics(name) VALUES(CAST(@topic AS TEXT))", message);
  status.Update(
      outsider.Run("INSERT INTO messages(topic, stored, timestamp, key, payload, id, content_type, headers) "
                   "SELECT id, 0, 0, @key, @payload, '', '', '' FROM topics "
                   "WHERE name = CAST(@topic AS TEXT)",
                   message));
  std::ofstream(outsider.path() + "-wake") << '.';
  return status;
}

Environment SqliteEnvironment() {
  Environment environment;
  environment.name = "sqlite";
  environment.url = [](std::string_view case_name) {
    return absl::StrCat("sqlite://", testing::TempDir(), "/", getpid(), ".", case_name, ".db");
  };
  environment.break_dead_letters = [](Broker&, const std::string& url) {
    return RunNowAndLater(url, "CREATE TRIGGER broken BEFORE INSERT ON dead BEGIN SELECT RAISE(ABORT, 'broken'); END",
                          "DROP TRIGGER broken");
  };
  // Another program writes and does not finish.
  environment.hold_answers = [](Broker&, const std::string& url) {
    return RunNowAndLater(url, "BEGIN IMMEDIATE", "ROLLBACK");
  };
  environment.send_foreign = SendForeign;
  environment.cannot = {{"restart_server", "a file: there is no server to restart"},
                        {"end_uncleanly", "a member ends uncleanly with its process only: the cases that kill one"}};
  environment.expected_skips = {{"Reconnect", environment.cannot["restart_server"]},
                                {"AnUncleanEndLosesNothing", environment.cannot["end_uncleanly"]}};
  return environment;
}

}  // namespace
}  // namespace messaging::conformance

int main(int argc, char** argv) {
  return messaging::conformance::Main(argc, argv, messaging::conformance::SqliteEnvironment());
}
