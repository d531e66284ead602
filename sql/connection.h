// A connection to a SQL database, and a transaction on it: what handlers, view sets and the outbox's relay use.
//
//   messaging::ProvidePerLane<sql::Connection>([] { return sql::Open("sqlite://orders.db"); });
//   messaging::ProvidePerMessage<sql::Transaction>([](sql::Connection& db) { return sql::Begin(db); });
#ifndef SQL_CONNECTION_H_
#define SQL_CONNECTION_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sql/executor.h"

namespace messaging::sql {

// For one thread at a time; several, of several processes, may be open at once. One that was lost (the server was
// restarted) is made anew by the next statement outside of a transaction.
class Connection : public Executor {
 public:
  using Executor::Execute;
  // Several statements without parameters, separated by semicolons: a schema. In one transaction, and one process at a
  // time.
  virtual absl::Status Script(const std::string& sql) = 0;

  // For one of many processes: true when the lock of that name is this connection's from now on. It is given up when
  // the connection ends, however that happens.
  virtual absl::StatusOr<bool> TryLock(const std::string& name) = 0;
  // True while what TryLock gave is certainly still held.
  virtual bool HoldsLock() = 0;

  // Waits until somebody may have committed something that calls for the listeners of `channel`, until `stop_fd` can
  // be read, or for `limit`. What was committed since the call before ends it at once.
  virtual absl::Status Wait(const std::string& channel, int stop_fd, absl::Duration limit) = 0;
};

// "sqlite:///var/lib/orders.db" or a path; "postgres://user:password@host:5432/database" (needs //sql:postgres, which
// registers itself). The file is made where it is missing; a server need not be reachable yet.
absl::StatusOr<std::unique_ptr<Connection>> Open(const std::string& url);

// Committed when told so, rolled back otherwise: as an object provided per message it is committed after the handler
// returned OK and before the acknowledgement. It must end before its connection does, and is the only one on it.
class Transaction : public Executor {
 public:
  explicit Transaction(Connection& connection) : connection_(connection) {}
  ~Transaction() override { Rollback(); }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  using Executor::Execute;
  Dialect dialect() const override { return connection_.dialect(); }
  absl::StatusOr<Result> Execute(const std::string& sql, absl::Span<const Value> values) override {
    return connection_.Execute(sql, values);
  }
  // Aborted: a statement before it had failed, and nothing was committed.
  absl::Status Commit();
  void Rollback();  // Nothing, after the end.

  // For Begin.
  absl::Status Start();

 private:
  Connection& connection_;
  bool open_ = false;
};

// A transaction, or a type derived from it. SQLite: takes the write lock, and waits for it for up to 10 s.
template <typename T = Transaction>
absl::StatusOr<std::unique_ptr<T>> Begin(Connection& connection) {
  auto transaction = std::make_unique<T>(connection);
  if (absl::Status status = transaction->Start(); !status.ok()) return status;
  return transaction;
}

// How //sql:postgres makes itself known to Open, by the beginning of the URL.
using Opener = absl::StatusOr<std::unique_ptr<Connection>> (*)(const std::string& url);
bool RegisterOpener(const char* scheme, Opener opener);

}  // namespace messaging::sql

#endif  // SQL_CONNECTION_H_
