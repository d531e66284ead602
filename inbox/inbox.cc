#include "inbox/inbox.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace messaging::inbox {

absl::Status CreateTable(sql::Connection& connection) {
  // A foreign sender's id is any bytes.
  const char* const bytes = connection.dialect() == sql::Dialect::kSqlite ? "BLOB" : "BYTEA";
  const char* const rest = connection.dialect() == sql::Dialect::kSqlite ? " STRICT, WITHOUT ROWID" : "";
  const char* const number = connection.dialect() == sql::Dialect::kSqlite ? "INTEGER" : "BIGINT";
  return connection.Script(
      absl::StrCat("CREATE TABLE IF NOT EXISTS messaging_inbox(handler TEXT NOT NULL, message_id ", bytes,
                   " NOT NULL, handled ", number, " NOT NULL, PRIMARY KEY(handler, message_id))", rest,
                   "; CREATE INDEX IF NOT EXISTS messaging_inbox_by_time ON messaging_inbox(handled)"));
}

absl::StatusOr<bool> MarkHandled(sql::Executor& transaction, const Received& received) {
  if (received.id().empty()) {
    return absl::InvalidArgumentError("the message has no id, so whether it was handled before cannot be known");
  }
  static const std::string& insert = *new std::string(
      "INSERT INTO messaging_inbox(handler, message_id, handled) VALUES($1, $2, $3) ON CONFLICT DO NOTHING");
  absl::StatusOr<sql::Result> marked =
      transaction.Execute(insert, {absl::StrCat(received.group(), "/", received.handler()),
                                   sql::Bytes{std::string(received.id())}, absl::ToUnixSeconds(absl::Now())});
  if (!marked.ok()) return marked.status();
  return marked->changed == 1;
}

absl::StatusOr<int64_t> Clean(sql::Executor& database, absl::Duration keep) {
  absl::StatusOr<sql::Result> gone =
      database.Execute("DELETE FROM messaging_inbox WHERE handled < $1", {absl::ToUnixSeconds(absl::Now() - keep)});
  if (!gone.ok()) return gone.status();
  return gone->changed;
}

}  // namespace messaging::inbox
