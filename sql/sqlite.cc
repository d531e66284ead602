#include "sql/sqlite.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "sqlite3.h"

namespace messaging::sql {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);
constexpr size_t kMostStatements = 200;  // Prepared ones that are kept.

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

absl::StatusCode CodeOf(int extended) {
  switch (extended) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
      return absl::StatusCode::kAlreadyExists;
    case SQLITE_CONSTRAINT_DATATYPE:
      return absl::StatusCode::kInvalidArgument;
    default:
      break;
  }
  switch (extended & 0xff) {
    case SQLITE_CONSTRAINT:
      return absl::StatusCode::kFailedPrecondition;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_CANTOPEN:
    case SQLITE_FULL:
      return absl::StatusCode::kUnavailable;
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kInternal;
  }
}

void Bind(sqlite3_stmt* statement, int at, const Value& value) {
  const auto text = [&](const std::string& data) {
    sqlite3_bind_text64(statement, at, data.data(), data.size(), SQLITE_STATIC, SQLITE_UTF8);
  };
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    sqlite3_bind_int64(statement, at, *integer);
  } else if (const auto* real = std::get_if<double>(&value)) {
    sqlite3_bind_double(statement, at, *real);
  } else if (const auto* string = std::get_if<std::string>(&value)) {
    text(*string);
  } else if (const auto* bytes = std::get_if<Bytes>(&value)) {
    sqlite3_bind_blob64(statement, at, bytes->data.data(), bytes->data.size(), SQLITE_STATIC);
    if (bytes->data.empty()) sqlite3_bind_zeroblob(statement, at, 0);  // Not NULL.
  }
}

Value Column(sqlite3_stmt* statement, int at) {
  switch (sqlite3_column_type(statement, at)) {
    case SQLITE_INTEGER:
      return static_cast<int64_t>(sqlite3_column_int64(statement, at));
    case SQLITE_FLOAT:
      return sqlite3_column_double(statement, at);
    case SQLITE_NULL:
      return Null();
    default:
      break;
  }
  const bool blob = sqlite3_column_type(statement, at) == SQLITE_BLOB;
  const void* data = sqlite3_column_blob(statement, at);
  std::string bytes(static_cast<const char*>(data), static_cast<size_t>(sqlite3_column_bytes(statement, at)));
  if (blob) return Bytes{std::move(bytes)};
  return bytes;
}

class SqliteConnection final : public Connection {
 public:
  SqliteConnection(sqlite3* connection, std::string path) : connection_(connection), path_(std::move(path)) {}
  ~SqliteConnection() override {
    Forget();
    sqlite3_close(connection_);
    if (lock_ >= 0) close(lock_);
    if (inotify_ >= 0) close(inotify_);
  }

  absl::Status Prepare(bool durable);
  using Executor::Execute;
  Dialect dialect() const override { return Dialect::kSqlite; }
  absl::StatusOr<Result> Execute(const std::string& sql, absl::Span<const Value> values) override;
  absl::Status Script(const std::string& sql) override;
  absl::StatusOr<bool> TryLock(const std::string& name) override;
  bool HoldsLock() override { return lock_ >= 0; }
  absl::Status Wait(const std::string& channel, int stop_fd, absl::Duration limit) override;

 private:
  absl::Status Error(const std::string& doing) const {
    return absl::Status(CodeOf(sqlite3_extended_errcode(connection_)),
                        absl::StrCat(doing, ": ", sqlite3_errmsg(connection_)));
  }
  void Forget() {
    for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
    statements_.clear();
  }
  absl::StatusOr<sqlite3_stmt*> Statement(const std::string& sql);

  sqlite3* const connection_;
  const std::string path_;
  std::unordered_map<std::string, sqlite3_stmt*> statements_;
  int lock_ = -1;
  int inotify_ = -1;
};

absl::Status SqliteConnection::Prepare(bool durable) {
  sqlite3_busy_handler(connection_, AskAgain, nullptr);
  if (SwitchToWal(connection_) != SQLITE_OK) return Error(path_);
  const char* pragmas =
      durable ? "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON" : "PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON";
  return sqlite3_exec(connection_, pragmas, nullptr, nullptr, nullptr) == SQLITE_OK ? absl::OkStatus() : Error(path_);
}

absl::StatusOr<sqlite3_stmt*> SqliteConnection::Statement(const std::string& sql) {
  const auto found = statements_.find(sql);
  if (found != statements_.end()) return found->second;
  if (statements_.size() >= kMostStatements) Forget();
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(connection_, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) return Error(sql);
  statements_.emplace(sql, statement);
  return statement;
}

absl::StatusOr<Result> SqliteConnection::Execute(const std::string& sql, absl::Span<const Value> values) {
  absl::StatusOr<sqlite3_stmt*> prepared = Statement(sql);
  if (!prepared.ok()) return prepared.status();
  sqlite3_stmt* const statement = *prepared;
  absl::Cleanup reset = [&] {
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
  };
  for (size_t i = 0; i < values.size(); ++i) {
    const int at = sqlite3_bind_parameter_index(statement, absl::StrCat("$", i + 1).c_str());
    if (at == 0) return absl::InternalError(absl::StrCat(sql, ": it has no $", i + 1));
    Bind(statement, at, values[i]);
  }
  const int64_t before = sqlite3_total_changes64(connection_);
  Result result;
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    Row& row = result.rows.emplace_back();
    for (int i = 0; i < sqlite3_column_count(statement); ++i) row.push_back(Column(statement, i));
  }
  if (code != SQLITE_DONE) return Error(sql);
  result.changed = sqlite3_total_changes64(connection_) - before;
  return result;
}

absl::Status SqliteConnection::Script(const std::string& sql) {
  const std::string all = absl::StrCat("BEGIN IMMEDIATE;", sql, ";COMMIT");
  if (sqlite3_exec(connection_, all.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return absl::OkStatus();
  absl::Status error = Error(path_);
  sqlite3_exec(connection_, "ROLLBACK", nullptr, nullptr, nullptr);
  return error;
}

absl::StatusOr<bool> SqliteConnection::TryLock(const std::string& name) {
  if (lock_ >= 0) return true;
  const std::string path = absl::StrCat(path_, "-", name);
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return absl::UnavailableError(absl::StrCat("lock file ", path, ": ", std::strerror(errno)));
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (fcntl(file, F_OFD_SETLK, &whole) == 0) {
    lock_ = file;
    return true;
  }
  const int error = errno;
  close(file);
  if (error == EAGAIN || error == EACCES) return false;
  return absl::UnavailableError(absl::StrCat("lock file ", path, ": ", std::strerror(error)));
}

// Every commit writes to the WAL, whoever makes it: no word of the writer is needed.
absl::Status SqliteConnection::Wait(const std::string&, int stop_fd, absl::Duration limit) {
  if (inotify_ < 0) {
    inotify_ = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    // What was committed before the watch was there is for the caller to find.
    if (inotify_add_watch(inotify_, absl::StrCat(path_, "-wal").c_str(), IN_MODIFY) >= 0) return absl::OkStatus();
    // inotify's limits are used up: the time does it, slower.
    close(std::exchange(inotify_, -1));
    limit = std::min(limit, absl::Milliseconds(100));
  }
  pollfd waits[] = {{inotify_, POLLIN, 0}, {stop_fd, POLLIN, 0}};
  poll(waits, stop_fd >= 0 ? 2 : 1,
       static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(limit), 0, 600'000)));
  alignas(inotify_event) char buffer[4096];
  bool gone = false;
  ssize_t size;
  while ((size = read(inotify_, buffer, sizeof buffer)) > 0) {
    for (ssize_t at = 0; at < size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      gone = gone || (event->mask & IN_IGNORED) != 0;
      at += static_cast<ssize_t>(sizeof(inotify_event)) + event->len;
    }
  }
  if (gone) {  // The file was removed: watched anew by the next call.
    close(std::exchange(inotify_, -1));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> OpenSqlite(const std::string& path, bool durable) {
  sqlite3* connection = nullptr;
  const int code = sqlite3_open(path.c_str(), &connection);
  auto opened = std::make_unique<SqliteConnection>(connection, path);
  if (code != SQLITE_OK) return absl::UnavailableError(absl::StrCat(path, ": ", sqlite3_errmsg(connection)));
  if (absl::Status status = opened->Prepare(durable); !status.ok()) return status;
  return opened;
}

}  // namespace messaging::sql
