#include "sqlite/database.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "sqlite3.h"

namespace messaging::sqlite {
namespace {

// What the caller can do about it decides the code.
absl::Status ToStatus(sqlite3* handle, int code, std::string_view path) {
  const std::string text =
      absl::StrCat("sqlite database ", path, ": ", handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code));
  switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
      return absl::OkStatus();
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      return absl::UnavailableError(text);
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(absl::StrCat(text, ": free some space"));
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return absl::PermissionDeniedError(absl::StrCat(text, ": the file and its folder must be writable"));
    case SQLITE_CANTOPEN:
      return absl::PermissionDeniedError(
          absl::StrCat(text, ": the folder must exist, and it and the file must be writable"));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(absl::StrCat(text, ": ", kDamagedCure));
    case SQLITE_TOOBIG:
      return absl::InvalidArgumentError(text);
    case SQLITE_IOERR:
      return absl::UnavailableError(text);
    default:
      return absl::InternalError(text);
  }
}

absl::Status StatusOf(sqlite3_stmt* statement, int code) {
  sqlite3* handle = sqlite3_db_handle(statement);
  const char* path = sqlite3_db_filename(handle, "main");
  return ToStatus(handle, code, path != nullptr ? path : "");
}

// Whoever opens a new file first turns it into a WAL database, and refuses others meanwhile without asking their busy
// timeout.
absl::Status SwitchToWal(Database& database, absl::Duration busy) {
  const absl::Time limit = absl::Now() + busy;
  while (true) {
    absl::Status status = database.Execute("PRAGMA journal_mode=WAL");
    if (!absl::IsUnavailable(status) || absl::Now() >= limit) return status;
    absl::SleepFor(absl::Milliseconds(1));
  }
}

}  // namespace

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::Bind(int at, int64_t value) {
  sqlite3_bind_int64(statement_, at, value);
  return *this;
}

Statement& Statement::Bind(int at, std::string_view blob) {
  // A null pointer would bind NULL.
  sqlite3_bind_blob64(statement_, at, blob.data() != nullptr ? blob.data() : "", blob.size(), SQLITE_STATIC);
  return *this;
}

Statement& Statement::BindNull(int at) {
  sqlite3_bind_null(statement_, at);
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  absl::Status status = StatusOf(statement_, code);
  Reset();
  return status;
}

void Statement::Reset() { sqlite3_reset(statement_); }

absl::Status Statement::Run() {
  absl::StatusOr<bool> row = Step();
  if (row.ok()) Reset();
  return row.status();
}

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string_view Statement::Blob(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  return {static_cast<const char*>(bytes), static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

bool Statement::IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path, bool full_sync, absl::Duration busy) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    // SQLite gives -wal and -shm the permissions of the file, so that one is made first. Only then: closing a
    // descriptor of a file that SQLite has open in this process would drop its locks.
    const int file = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 && errno != EEXIST) {
      return absl::PermissionDeniedError(absl::StrCat("sqlite database ", path, ": ", std::strerror(errno),
                                                      ": the folder must exist, and it and the file must be writable"));
    }
    if (file >= 0) close(file);
  } else if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("sqlite database ", path, ": not a regular file"));
  }
  // SQLite's statistics of its memory cost a global lock at each allocation. Without effect where the program has used
  // SQLite before.
  static const int configured = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  (void)configured;
  sqlite3* handle = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  if (code != SQLITE_OK) {
    absl::Status status = ToStatus(handle, code, path);
    sqlite3_close_v2(handle);
    return status;
  }
  std::unique_ptr<Database> database(new Database(handle, path));
  sqlite3_busy_timeout(handle, static_cast<int>(absl::ToInt64Milliseconds(busy)));
  if (absl::Status status = SwitchToWal(*database, busy); !status.ok()) return status;
  for (const char* sql : {full_sync ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
                          "PRAGMA wal_autocheckpoint=4000", "PRAGMA cache_size=-2000", "PRAGMA temp_store=MEMORY"}) {
    if (absl::Status status = database->Execute(sql); !status.ok()) return status;
  }
  return database;
}

Database::~Database() {
  data_version_.reset();
  sqlite3_close_v2(handle_);
}

absl::Status Database::Execute(const char* sql) {
  return ToStatus(handle_, sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr), path_);
}

absl::StatusOr<Statement> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                      &statement, nullptr);
  if (code != SQLITE_OK) return ToStatus(handle_, code, path_);
  return Statement(statement);
}

int64_t Database::changes() const { return sqlite3_changes64(handle_); }
int64_t Database::last_row_id() const { return sqlite3_last_insert_rowid(handle_); }
bool Database::in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }

absl::StatusOr<int64_t> Database::DataVersion() {
  if (!data_version_) {
    absl::StatusOr<Statement> prepared = Prepare("PRAGMA data_version");
    if (!prepared.ok()) return prepared.status();
    data_version_ = *std::move(prepared);
  }
  absl::StatusOr<bool> row = data_version_->Step();
  if (!row.ok()) return row.status();
  const int64_t version = data_version_->Int(0);
  data_version_->Reset();
  return version;
}

}  // namespace messaging::sqlite
