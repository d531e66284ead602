// raw_sqlite send|consume TOPIC N: plain SQLite calls that do the same transactions as the library: the same tables,
// the same statements a message, 500 messages a transaction, synchronous=FULL, in a file of TOPIC's own beside the one
// that MESSAGING_URL names. Prints one line of JSON.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "messaging/broker/url.h"
#include "sqlite3.h"
#include "tests/bench/raw.h"
#include "tests/bench/usage.h"

namespace {

using bench::Check;

constexpr int kBatch = 500;

class Raw {
 public:
  explicit Raw(const std::string& path) {
    Check(sqlite3_open(path.c_str(), &handle_) == SQLITE_OK, "cannot open");
    Execute("PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000; PRAGMA cache_size=-2000;");
  }
  ~Raw() { sqlite3_close_v2(handle_); }

  void MakeTables() {
    Execute(
        "PRAGMA journal_mode=WAL;"
        "CREATE TABLE messages(seq INTEGER PRIMARY KEY AUTOINCREMENT, topic INTEGER NOT NULL, stored INTEGER NOT NULL, "
        "timestamp INTEGER NOT NULL, key BLOB, payload BLOB, id BLOB NOT NULL, content_type BLOB NOT NULL, "
        "headers BLOB NOT NULL);"
        "CREATE INDEX messages_by_topic ON messages(topic);"
        "CREATE TABLE work(id INTEGER PRIMARY KEY AUTOINCREMENT, grp INTEGER NOT NULL, topic INTEGER NOT NULL, "
        "seq INTEGER NOT NULL, member INTEGER NOT NULL, key BLOB, handler BLOB NOT NULL DEFAULT '', "
        "attempts INTEGER NOT NULL DEFAULT 0, due INTEGER NOT NULL DEFAULT 0);"
        "CREATE INDEX work_waiting ON work(grp, topic, due, id) WHERE member = 0;"
        "CREATE INDEX work_by_key ON work(grp, topic, key) WHERE key IS NOT NULL;"
        "CREATE TABLE cursors(grp INTEGER, topic INTEGER, next INTEGER, PRIMARY KEY(grp, topic)) WITHOUT ROWID;"
        "INSERT INTO cursors VALUES(1, 1, 0)");
  }

  void Send(int64_t messages, const std::string& payload) {
    sqlite3_stmt* insert = Prepare(
        "INSERT INTO messages(topic, stored, timestamp, key, payload, id, content_type, headers) "
        "VALUES(1, ?, ?, NULL, ?, ?, ?, '')");
    char id[37];
    for (int64_t i = 0; i < messages; ++i) {
      if (i % kBatch == 0) Execute("BEGIN IMMEDIATE");
      std::snprintf(id, sizeof id, "%036lld", static_cast<long long>(i));
      sqlite3_bind_int64(insert, 1, i);
      sqlite3_bind_int64(insert, 2, i);
      sqlite3_bind_blob(insert, 3, payload.data(), static_cast<int>(payload.size()), SQLITE_STATIC);
      sqlite3_bind_blob(insert, 4, id, 36, SQLITE_STATIC);
      sqlite3_bind_blob(insert, 5, "application/octet-stream", 24, SQLITE_STATIC);
      Step(insert);
      if ((i + 1) % kBatch == 0 || i + 1 == messages) Execute("COMMIT");
    }
    sqlite3_finalize(insert);
  }

  // In one transaction: acknowledges the batch before, deals out the next one.
  void Consume(int64_t messages) {
    sqlite3_stmt* select = Prepare(
        "SELECT seq, key, payload, id, content_type, headers, timestamp FROM messages "
        "WHERE topic = 1 AND seq >= ? ORDER BY seq LIMIT 500");
    sqlite3_stmt* deal = Prepare("INSERT INTO work(grp, topic, seq, member, key) VALUES(1, 1, ?, 1, NULL)");
    sqlite3_stmt* remove = Prepare("DELETE FROM work WHERE id = ? AND member = 1");
    sqlite3_stmt* advance = Prepare("UPDATE cursors SET next = ? WHERE grp = 1 AND topic = 1");
    int64_t next = 0, handled = 0, first = 0, last = -1, bytes = 0;
    while (handled < messages) {
      Execute("BEGIN IMMEDIATE");
      for (int64_t work = first; work <= last; ++work, ++handled) {
        sqlite3_bind_int64(remove, 1, work);
        Step(remove);
      }
      first = last + 1;
      sqlite3_bind_int64(select, 1, next);
      while (sqlite3_step(select) == SQLITE_ROW) {
        const int64_t seq = sqlite3_column_int64(select, 0);
        bytes += static_cast<const char*>(sqlite3_column_blob(select, 2))[0];
        sqlite3_bind_int64(deal, 1, seq);
        Step(deal);
        last = sqlite3_last_insert_rowid(handle_);
        if (first == 0) first = last;
        next = seq + 1;
      }
      sqlite3_reset(select);
      sqlite3_bind_int64(advance, 1, next);
      Step(advance);
      Execute("COMMIT");
    }
    for (sqlite3_stmt* statement : {select, deal, remove, advance}) sqlite3_finalize(statement);
    Check(bytes > 0, "nothing read");
  }

 private:
  void Execute(const char* sql) { Check(sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) == SQLITE_OK, sql); }
  sqlite3_stmt* Prepare(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    Check(sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) == SQLITE_OK, sql);
    return statement;
  }
  void Step(sqlite3_stmt* statement) {
    Check(sqlite3_step(statement) == SQLITE_DONE, sqlite3_sql(statement));
    sqlite3_reset(statement);
  }
  sqlite3* handle_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc == 4 ? argv[1] : "";
  const char* const text = std::getenv("MESSAGING_URL");
  const auto url = messaging::Url::Parse(text == nullptr ? "" : text);
  if (argc != 4 || !url.ok() || (mode != "send" && mode != "consume")) {
    std::fprintf(stderr, "usage: MESSAGING_URL=sqlite:///FILE raw_sqlite send|consume TOPIC N\n");
    return 2;
  }
  const int64_t n = std::atoll(argv[3]);
  Raw raw(absl::StrCat(url->FilePath(), ".", argv[2]));
  if (mode == "send") raw.MakeTables();
  const bench::Usage usage;
  if (mode == "send") {
    raw.Send(n, std::string(256, 'x'));
  } else {
    raw.Consume(n);
  }
  usage.Print(n);
}
