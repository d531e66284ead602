#include "outbox/outbox.h"

#include <cstddef>

#include "absl/time/clock.h"
#include "messaging/internal/complete_message.h"
#include "outbox/table.h"

namespace messaging::outbox {
namespace {

constexpr char kSqlite[] = R"(
    CREATE TABLE IF NOT EXISTS messaging_outbox(
        id INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL, topic TEXT NOT NULL, message_key BLOB,
        payload BLOB, content_type TEXT NOT NULL, headers BLOB NOT NULL, created INTEGER NOT NULL, refusal TEXT) STRICT;
    CREATE INDEX IF NOT EXISTS messaging_outbox_waiting ON messaging_outbox(id) WHERE refusal IS NULL;
)";
constexpr char kPostgres[] = R"(
    CREATE TABLE IF NOT EXISTS messaging_outbox(
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, message_id TEXT NOT NULL, topic TEXT NOT NULL,
        message_key BYTEA, payload BYTEA, content_type TEXT NOT NULL, headers BYTEA NOT NULL, created BIGINT NOT NULL,
        refusal TEXT);
    CREATE INDEX IF NOT EXISTS messaging_outbox_waiting ON messaging_outbox(id) WHERE refusal IS NULL;
)";
constexpr char kInsert[] =
    "INSERT INTO messaging_outbox(message_id, topic, message_key, payload, content_type, headers, created) "
    "VALUES($1, $2, $3, $4, $5, $6, $7)";

}  // namespace

absl::Status CreateTable(sql::Connection& connection) {
  return connection.Script(connection.dialect() == sql::Dialect::kSqlite ? kSqlite : kPostgres);
}

absl::StatusOr<std::string> Outbox::Send(Message message, SendOptions options) {
  internal::CompleteMessage(options, absl::Now(), message);
  if (absl::Status status = internal::CheckMessage(message); !status.ok()) return status;
  const bool postgres = transaction_.dialect() == sql::Dialect::kPostgres;
  if (postgres && message.key) {
    // Numbers are given before commits, so the order of numbers is that of commits only among transactions that wait
    // for each other. (SQLite's do anyway.)
    absl::Status locked =
        transaction_
            .Execute("SELECT pg_advisory_xact_lock(hashtextextended(encode($1::bytea, 'hex'), 20231))",
                     {sql::Bytes{*message.key}})
            .status();
    if (!locked.ok()) return locked;
  }
  static const std::string& insert = *new std::string(kInsert);
  static const std::string& notify =
      *new std::string(std::string(kInsert) + " RETURNING pg_notify('" + kChannel + "', '')");
  const sql::Value key = message.key ? sql::Value(sql::Bytes{std::move(*message.key)}) : sql::Null();
  const sql::Value payload = message.null_payload ? sql::Value(sql::Null()) : sql::Bytes{std::move(message.payload)};
  absl::Status written = transaction_
                             .Execute(postgres ? notify : insert,
                                      {message.id, message.topic, key, payload, message.content_type,
                                       sql::Bytes{PackHeaders(message.headers)}, absl::ToUnixMicros(message.timestamp)})
                             .status();
  if (!written.ok()) return written;
  return std::move(message.id);
}

absl::StatusOr<Lag> MeasureLag(sql::Executor& database) {
  absl::StatusOr<sql::Result> found = database.Execute(
      "SELECT sum(CASE WHEN refusal IS NULL THEN 1 ELSE 0 END), sum(CASE WHEN refusal IS NULL THEN 0 ELSE 1 END),"
      " min(CASE WHEN refusal IS NULL THEN created END) FROM messaging_outbox");
  if (!found.ok()) return found.status();
  const sql::Row& row = found->rows.front();
  Lag lag{.waiting = sql::NumberOf(row[0]), .refused = sql::NumberOf(row[1])};
  if (lag.waiting > 0) lag.oldest = absl::Now() - absl::FromUnixMicros(sql::NumberOf(row[2]));
  return lag;
}

absl::StatusOr<int64_t> RetryRefused(sql::Executor& database) {
  absl::StatusOr<sql::Result> done =
      database.Execute("UPDATE messaging_outbox SET refusal = NULL WHERE refusal IS NOT NULL");
  if (!done.ok()) return done.status();
  return done->changed;
}

}  // namespace messaging::outbox
