#include "examples/orders/database.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "sqlite3.h"

namespace orders {
namespace {

void Bind(sqlite3_stmt* statement, int at, const Value& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    sqlite3_bind_int64(statement, at, *integer);
  } else if (const auto* real = std::get_if<double>(&value)) {
    sqlite3_bind_double(statement, at, *real);
  } else {
    const auto& text = std::get<std::string_view>(value);
    sqlite3_bind_text(statement, at, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
  }
}

constexpr absl::Duration kPatience = absl::Seconds(10);

// Asks again each millisecond: SQLite's own busy timeout waits longer and longer, and lets newcomers overtake.
int AskAgain(void*, int times) {
  absl::SleepFor(absl::Milliseconds(1));
  return absl::Milliseconds(times) < kPatience ? 1 : 0;
}

// The first to open a file turns it into a WAL database, and refuses others meanwhile without asking their busy
// timeout.
int SwitchToWal(sqlite3* connection) {
  const absl::Time limit = absl::Now() + kPatience;
  int code;
  while ((code = sqlite3_exec(connection, "PRAGMA journal_mode=WAL", nullptr, nullptr, nullptr)) == SQLITE_BUSY &&
         absl::Now() < limit) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  return code;
}

}  // namespace

const char Database::kSchema[] = R"(
    CREATE TABLE IF NOT EXISTS orders(order_id INTEGER PRIMARY KEY, user_id INTEGER, total REAL) STRICT;
    CREATE TABLE IF NOT EXISTS movements(message_id TEXT PRIMARY KEY, order_id INTEGER, item TEXT, quantity INTEGER)
        STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS stock(item TEXT PRIMARY KEY, reserved INTEGER NOT NULL) STRICT;
)";

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path, const char* schema) {
  sqlite3* connection = nullptr;
  const int code = sqlite3_open(path.c_str(), &connection);
  auto db = std::unique_ptr<Database>(new Database(connection));
  if (code != SQLITE_OK) return db->Error(path);
  sqlite3_busy_handler(connection, AskAgain, nullptr);
  if (SwitchToWal(connection) != SQLITE_OK) return db->Error(path);
  // NORMAL is enough against a killed process, not against power loss: then commits that were acknowledged could be
  // gone. FULL costs a disk flush each.
  for (const char* sql : {"PRAGMA synchronous=NORMAL", schema}) {
    if (sqlite3_exec(connection, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return db->Error(path);
  }
  return db;
}

Database::~Database() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(connection_);
}

absl::Status Database::Error(std::string_view doing) const {
  const int code = sqlite3_errcode(connection_);
  const std::string text = absl::StrCat(doing, ": ", sqlite3_errmsg(connection_));
  return code == SQLITE_BUSY || code == SQLITE_LOCKED ? absl::UnavailableError(text) : absl::InternalError(text);
}

absl::StatusOr<sqlite3_stmt*> Database::Prepare(const char* sql, std::initializer_list<Value> values) {
  sqlite3_stmt*& statement = statements_[sql];
  if (statement == nullptr && sqlite3_prepare_v2(connection_, sql, -1, &statement, nullptr) != SQLITE_OK) {
    return Error(sql);
  }
  int at = 0;
  for (const Value& value : values) Bind(statement, ++at, value);
  return statement;
}

absl::StatusOr<int64_t> Database::Execute(const char* sql, std::initializer_list<Value> values) {
  absl::StatusOr<sqlite3_stmt*> statement = Prepare(sql, values);
  if (!statement.ok()) return statement.status();
  absl::Cleanup reset = [&] { sqlite3_reset(*statement); };
  if (sqlite3_step(*statement) != SQLITE_DONE) return Error(sql);
  return sqlite3_changes64(connection_);
}

absl::StatusOr<std::optional<int64_t>> Database::Number(const char* sql, std::initializer_list<Value> values) {
  absl::StatusOr<sqlite3_stmt*> statement = Prepare(sql, values);
  if (!statement.ok()) return statement.status();
  absl::Cleanup reset = [&] { sqlite3_reset(*statement); };
  const int code = sqlite3_step(*statement);
  if (code == SQLITE_DONE) return std::nullopt;
  if (code != SQLITE_ROW) return Error(sql);
  return sqlite3_column_int64(*statement, 0);
}

absl::StatusOr<std::unique_ptr<Transaction>> Database::Begin() {
  if (absl::StatusOr<int64_t> begun = Execute("BEGIN IMMEDIATE"); !begun.ok()) return begun.status();
  return std::make_unique<Transaction>(*this);
}

absl::Status Transaction::Commit() {
  absl::Status status = db_.Execute("COMMIT").status();
  if (status.ok()) open_ = false;
  return status;
}

void Transaction::Rollback() {
  // A failed ROLLBACK leaves nothing to do: SQLite has rolled back by itself then.
  if (std::exchange(open_, false)) db_.Execute("ROLLBACK").IgnoreError();
}

}  // namespace orders
