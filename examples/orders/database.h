// The shop's own database: a small wrapper of SQLite, enough for handlers to write in a transaction.
#ifndef EXAMPLES_ORDERS_DATABASE_H_
#define EXAMPLES_ORDERS_DATABASE_H_

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace orders {

class Transaction;

// What a `?` in SQL stands for.
using Value = std::variant<int64_t, double, std::string_view>;

// One connection to one file. Several connections, of several processes, may be open at once; each is for one thread at
// a time. SQL is given as literals: its prepared statements are kept by their address.
class Database {
 public:
  // Opens or creates the file and, where they are missing, the tables of `schema` (the shop's own by default).
  // Unavailable or Internal with SQLite's text and the path.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path, const char* schema = kSchema);
  ~Database();

  // Takes the write lock; waits for it for up to 10 s, then Unavailable. One transaction at a time; it must end before
  // its Database does.
  absl::StatusOr<std::unique_ptr<Transaction>> Begin();
  // Runs one statement. How many rows it changed.
  absl::StatusOr<int64_t> Execute(const char* sql, std::initializer_list<Value> values = {});
  // The first column of the first row; none: no row.
  absl::StatusOr<std::optional<int64_t>> Number(const char* sql, std::initializer_list<Value> values = {});

  static const char kSchema[];

 private:
  friend class Transaction;
  explicit Database(sqlite3* connection) : connection_(connection) {}
  absl::Status Error(std::string_view doing) const;
  absl::StatusOr<sqlite3_stmt*> Prepare(const char* sql, std::initializer_list<Value> values);

  sqlite3* const connection_;
  std::map<const char*, sqlite3_stmt*> statements_;
};

// What a handler takes: given as a per-message object, it is committed when the handler returned OK, before the message
// is acknowledged, and rolled back otherwise.
class Transaction {
 public:
  explicit Transaction(Database& db) : db_(db) {}
  ~Transaction() { Rollback(); }
  absl::Status Commit();
  void Rollback();  // Nothing, after the end.

  absl::StatusOr<int64_t> Execute(const char* sql, std::initializer_list<Value> values = {}) {
    return db_.Execute(sql, values);
  }

 private:
  Database& db_;
  bool open_ = true;
};

}  // namespace orders

#endif  // EXAMPLES_ORDERS_DATABASE_H_
