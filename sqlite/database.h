// SQLite's connections and statements, owned; its result codes as absl::Status. Private to the driver.
#ifndef SQLITE_DATABASE_H_
#define SQLITE_DATABASE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

struct sqlite3;
struct sqlite3_stmt;

namespace messaging::sqlite {

// What helps a damaged file: DataLoss.
inline constexpr std::string_view kDamagedCure = "restore it from a backup, or move it away to begin anew";

// A prepared statement. Bind by position from 1, read columns from 0. Views of columns hold until the next Step or
// Reset.
class Statement {
 public:
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  Statement(Statement&& other) noexcept : statement_(std::exchange(other.statement_, nullptr)) {}
  Statement& operator=(Statement&& other) noexcept {
    std::swap(statement_, other.statement_);
    return *this;
  }
  ~Statement();

  Statement& Bind(int at, int64_t value);
  Statement& Bind(int at, std::string_view blob);  // The bytes must live until Reset.
  Statement& BindNull(int at);
  Statement& BindOptional(int at, std::optional<std::string_view> blob) {
    return blob ? Bind(at, *blob) : BindNull(at);
  }
  // True: there is a row. Errors reset the statement.
  absl::StatusOr<bool> Step();
  void Reset();
  // One step for a statement without rows, and Reset.
  absl::Status Run();

  int64_t Int(int column) const;
  std::string_view Blob(int column) const;
  bool IsNull(int column) const;

 private:
  sqlite3_stmt* statement_;
};

// A connection. One thread at a time.
class Database {
 public:
  // Opens or makes the file, readable by its owner alone, in WAL mode. `busy`: how long a statement waits for other
  // processes.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path, bool full_sync, absl::Duration busy);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  absl::Status Execute(const char* sql);
  absl::StatusOr<Statement> Prepare(std::string_view sql);
  int64_t changes() const;  // Of the last statement.
  int64_t last_row_id() const;
  bool in_transaction() const;
  // Changes when another connection has committed something.
  absl::StatusOr<int64_t> DataVersion();
  const std::string& path() const { return path_; }

 private:
  Database(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  sqlite3* const handle_;
  const std::string path_;
  std::optional<Statement> data_version_;
};

}  // namespace messaging::sqlite

#endif  // SQLITE_DATABASE_H_
