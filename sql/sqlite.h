// SQLite as a Connection.
#ifndef SQL_SQLITE_H_
#define SQL_SQLITE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "sql/connection.h"

namespace messaging::sql {

// The file, made where it is missing, in WAL mode. A commit is safe against a killed process; against power loss with
// `durable`, which costs a flush of the disk for each. Others' commits are heard of by inotify on the file.
absl::StatusOr<std::unique_ptr<Connection>> OpenSqlite(const std::string& path, bool durable = false);

}  // namespace messaging::sql

#endif  // SQL_SQLITE_H_
