#include "sqlite/schema.h"

#include "absl/strings/str_cat.h"

namespace messaging::sqlite {
namespace {

constexpr int64_t kApplicationId = 0x6d736773;  // "msgs", in the file's header
constexpr int64_t kVersion = 1;

constexpr char kSchema[] = R"(
CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE messages(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, topic INTEGER NOT NULL, stored INTEGER NOT NULL, timestamp INTEGER NOT NULL,
  key BLOB, payload BLOB, id BLOB NOT NULL, content_type BLOB NOT NULL, headers BLOB NOT NULL);
CREATE INDEX messages_by_topic ON messages(topic);
CREATE TABLE groups(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE cursors(
  grp INTEGER NOT NULL, topic INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY(grp, topic)) WITHOUT ROWID;
CREATE TABLE work(
  id INTEGER PRIMARY KEY AUTOINCREMENT, grp INTEGER NOT NULL, topic INTEGER NOT NULL, seq INTEGER NOT NULL,
  member INTEGER NOT NULL, key BLOB, handler BLOB NOT NULL DEFAULT '', attempts INTEGER NOT NULL DEFAULT 0,
  attempts_of BLOB NOT NULL DEFAULT '', due INTEGER NOT NULL DEFAULT 0, not_before INTEGER NOT NULL DEFAULT 0,
  redelivered INTEGER NOT NULL DEFAULT 0, suspect INTEGER NOT NULL DEFAULT 0,
  first_failure INTEGER NOT NULL DEFAULT 0, last_error BLOB NOT NULL DEFAULT '');
CREATE INDEX work_waiting ON work(grp, topic, due, id) WHERE member = 0;
CREATE INDEX work_by_key ON work(grp, topic, key) WHERE key IS NOT NULL;
CREATE TABLE dead(
  id INTEGER PRIMARY KEY AUTOINCREMENT, grp INTEGER NOT NULL, topic INTEGER NOT NULL, handler BLOB NOT NULL,
  code INTEGER NOT NULL, error BLOB NOT NULL, attempts INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
  since INTEGER NOT NULL, timestamp INTEGER NOT NULL, key BLOB, payload BLOB, message_id BLOB NOT NULL,
  content_type BLOB NOT NULL, headers BLOB NOT NULL);
CREATE TABLE members(id INTEGER PRIMARY KEY AUTOINCREMENT, grp INTEGER NOT NULL, name TEXT NOT NULL);
)";

absl::StatusOr<int64_t> Number(Database& database, const char* sql) {
  absl::StatusOr<Statement> statement = database.Prepare(sql);
  if (!statement.ok()) return statement.status();
  absl::StatusOr<bool> row = statement->Step();
  if (!row.ok()) return row.status();
  return *row ? statement->Int(0) : 0;
}

// Reads only, and a reader of a WAL waits for nobody.
bool IsPrepared(Database& database) {
  const absl::StatusOr<int64_t> application = Number(database, "PRAGMA application_id");
  const absl::StatusOr<int64_t> version = Number(database, "PRAGMA user_version");
  return application.ok() && version.ok() && *application == kApplicationId && *version == kVersion;
}

absl::Status Prepare(Database& database) {
  absl::StatusOr<int64_t> version = Number(database, "PRAGMA user_version");
  absl::StatusOr<int64_t> application = Number(database, "PRAGMA application_id");
  absl::StatusOr<int64_t> tables = Number(database, "SELECT count(*) FROM sqlite_schema");
  for (const auto* number : {&version, &application, &tables}) {
    if (!number->ok()) return number->status();
  }
  if (*application == kApplicationId && *version == kVersion) return absl::OkStatus();
  if (*application == kApplicationId) {
    return absl::FailedPreconditionError(absl::StrCat("sqlite database ", database.path(), ": its version is ",
                                                      *version, ", this program knows ", kVersion,
                                                      ": use a newer program"));
  }
  if (*tables != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("sqlite database ", database.path(), ": it belongs to another program; name a file of its own"));
  }
  if (absl::Status status = database.Execute(kSchema); !status.ok()) return status;
  return database.Execute(
      absl::StrCat("PRAGMA application_id=", kApplicationId, "; PRAGMA user_version=", kVersion).c_str());
}

}  // namespace

absl::Status PrepareSchema(Database& database) {
  if (IsPrepared(database)) return absl::OkStatus();
  // Several processes may come at once: the first makes the tables.
  if (absl::Status status = database.Execute("BEGIN IMMEDIATE"); !status.ok()) return status;
  absl::Status prepared = Prepare(database);
  absl::Status ended = database.Execute(prepared.ok() ? "COMMIT" : "ROLLBACK");
  return prepared.ok() ? ended : prepared;
}

}  // namespace messaging::sqlite
