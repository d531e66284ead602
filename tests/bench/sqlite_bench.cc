// sqlite_bench ours|raw FILE [MESSAGES]: sends MESSAGES of 256 bytes to a new database file, every one confirmed, then
// consumes and acknowledges them all; `ours` by the library, `raw` by plain SQLite calls that do the same transactions:
// the same tables, the same statements a message, 500 messages a transaction, synchronous=FULL. Prints one line of
// JSON.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "messaging/codec.h"
#include "messaging/dispatch/dispatcher.h"
#include "messaging/handler.h"
#include "messaging/producer.h"
#include "sqlite/sqlite_broker.h"
#include "sqlite3.h"

namespace {

struct Rates {
  double send = 0;
  double consume = 0;
};

constexpr int kBatch = 500;

void Check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "sqlite_bench: %s\n", what);
  std::exit(1);
}

Rates Ours(const std::string& path, int64_t messages, const std::string& payload) {
  using namespace messaging;
  auto broker = MakeSqliteBroker({.path = path});
  Check(broker.ok(), "cannot open");
  Rates rates;
  Producer producer(broker->get(), {}, nullptr);
  absl::Time began = absl::Now();
  for (int64_t i = 0; i < messages; ++i) producer.Send("t", payload, {.wait_for_room = true});
  Check(producer.Flush(absl::Minutes(5)).ok(), "cannot flush");
  rates.send = static_cast<double>(messages) / absl::ToDoubleSeconds(absl::Now() - began);
  std::atomic<int64_t> handled{0};
  absl::Notification all;
  auto handler = [&](std::string_view) {
    if (handled.fetch_add(1, std::memory_order_relaxed) + 1 == messages) all.Notify();
    return absl::OkStatus();
  };
  Providers providers;
  began = absl::Now();
  Dispatcher dispatcher(**broker, producer, providers, {MakeHandler("h", handler, {.topics = {"t"}})},
                        {.group = "g", .concurrency = 2});
  Check(dispatcher.Start().ok(), "cannot start");
  all.WaitForNotification();
  Check(dispatcher.Stop().ok(), "cannot stop");  // Every acknowledgement is committed.
  rates.consume = static_cast<double>(messages) / absl::ToDoubleSeconds(absl::Now() - began);
  return rates;
}

class Raw {
 public:
  explicit Raw(const std::string& path) {
    Check(sqlite3_open(path.c_str(), &handle_) == SQLITE_OK, "cannot open");
    Execute(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000; PRAGMA cache_size=-2000;"
        "CREATE TABLE messages(seq INTEGER PRIMARY KEY AUTOINCREMENT, topic INTEGER NOT NULL, stored INTEGER NOT NULL, "
        "timestamp INTEGER NOT NULL, key BLOB, payload BLOB, id BLOB NOT NULL, content_type BLOB NOT NULL, headers "
        "BLOB NOT "
        "NULL); CREATE INDEX messages_by_topic ON messages(topic);"
        "CREATE TABLE work(id INTEGER PRIMARY KEY AUTOINCREMENT, grp INTEGER NOT NULL, topic INTEGER NOT NULL, seq "
        "INTEGER "
        "NOT NULL, member INTEGER NOT NULL, key BLOB, handler BLOB NOT NULL DEFAULT '', attempts INTEGER NOT NULL "
        "DEFAULT 0, "
        "due INTEGER NOT NULL DEFAULT 0);"
        "CREATE INDEX work_waiting ON work(grp, topic, due, id) WHERE member = 0;"
        "CREATE INDEX work_by_key ON work(grp, topic, key) WHERE key IS NOT NULL;"
        "CREATE TABLE cursors(grp INTEGER, topic INTEGER, next INTEGER, PRIMARY KEY(grp, topic)) WITHOUT ROWID;"
        "INSERT INTO cursors VALUES(1, 1, 0)");
  }
  ~Raw() { sqlite3_close_v2(handle_); }

  void Send(int64_t messages, const std::string& payload) {
    sqlite3_stmt* insert = Prepare(
        "INSERT INTO messages(topic, stored, timestamp, key, payload, id, content_type, headers) VALUES(1, ?, ?, NULL, "
        "?, ?, ?, "
        "'')");
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
        "SELECT seq, key, payload, id, content_type, headers, timestamp FROM messages WHERE topic = 1 AND seq >= ? "
        "ORDER BY seq "
        "LIMIT 500");
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

Rates RawRates(const std::string& path, int64_t messages, const std::string& payload) {
  Raw raw(path);
  Rates rates;
  absl::Time began = absl::Now();
  raw.Send(messages, payload);
  rates.send = static_cast<double>(messages) / absl::ToDoubleSeconds(absl::Now() - began);
  began = absl::Now();
  raw.Consume(messages);
  rates.consume = static_cast<double>(messages) / absl::ToDoubleSeconds(absl::Now() - began);
  return rates;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: sqlite_bench ours|raw FILE [MESSAGES]\n");
    return 2;
  }
  const int64_t messages = argc > 3 ? std::atoll(argv[3]) : 100'000;
  const std::string payload(256, 'x');
  const Rates rates =
      std::strcmp(argv[1], "ours") == 0 ? Ours(argv[2], messages, payload) : RawRates(argv[2], messages, payload);
  std::printf("{\"send_per_second\": %.0f, \"consume_per_second\": %.0f}\n", rates.send, rates.consume);
}
