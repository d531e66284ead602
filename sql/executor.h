// The small part of a SQL database that the outbox and the inbox write through. //sql has it for SQLite and PostgreSQL;
// a service with a database library of its own implements this one method over it.
#ifndef SQL_EXECUTOR_H_
#define SQL_EXECUTOR_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace messaging::sql {

// What differs in the SQL itself, not in how it is sent.
enum class Dialect { kSqlite, kPostgres };

// A BLOB or bytea; a std::string is text.
struct Bytes {
  std::string data;
  friend bool operator==(const Bytes&, const Bytes&) = default;
};
struct Null {
  friend bool operator==(const Null&, const Null&) = default;
};

// A parameter, or a column of a row.
using Value = std::variant<Null, int64_t, double, std::string, Bytes>;
using Row = std::vector<Value>;

// What a statement gave.
struct Result {
  std::vector<Row> rows;
  int64_t changed = 0;  // Rows inserted, updated, deleted.
};

// For one thread at a time.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual Dialect dialect() const = 0;
  // Runs one statement with $1, $2, ... for `values`, and gives all its rows. AlreadyExists: a key that is there;
  // FailedPrecondition: another constraint; Aborted: lost against another transaction, begin again; Unavailable: the
  // database does not answer or is locked; InvalidArgument: a value that its column cannot hold; Internal: the rest.
  virtual absl::StatusOr<Result> Execute(const std::string& sql, absl::Span<const Value> values) = 0;

  absl::StatusOr<Result> Execute(const std::string& sql, std::initializer_list<Value> values = {}) {
    return Execute(sql, absl::MakeConstSpan(values.begin(), values.size()));
  }
  // The first column of the first row: a number, or `otherwise` where there is none.
  absl::StatusOr<int64_t> Number(const std::string& sql, std::initializer_list<Value> values = {},
                                 int64_t otherwise = 0);
};

// A column as what it should be; empty, or 0, where it is NULL or something else.
std::string TextOf(const Value& value);  // The bytes, of a Bytes.
int64_t NumberOf(const Value& value);    // Also of text that is a number.

}  // namespace messaging::sql

#endif  // SQL_EXECUTOR_H_
