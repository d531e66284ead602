// Effects exactly once: a handler with `.idempotent = true` that takes an inbox::Transaction& is called once for each
// message id, however often the message is delivered, as the id is stored in the same transaction as what the handler
// writes.
//
//   absl::Status Reserve(const OrderCreated& order, inbox::Transaction& db);
//   MESSAGE_HANDLER(Reserve, {.topics = {"orders.created"}, .idempotent = true});
//
//   messaging::ProvidePerLane<sql::Connection>([] { return sql::Open("sqlite://stock.db"); });
//   messaging::ProvidePerMessage<inbox::Transaction>([](sql::Connection& db) { return
//   sql::Begin<inbox::Transaction>(db); });
//
// What a handler does elsewhere (a mail, a charge) is not of the transaction and may happen again. What it sends should
// go through an outbox (outbox/outbox.h) in the same transaction: then that happens once, too.
#ifndef INBOX_INBOX_H_
#define INBOX_INBOX_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/received.h"
#include "sql/connection.h"
#include "sql/executor.h"

namespace messaging::inbox {

// Makes the table messaging_inbox where it is missing. Any number of processes, at any time.
absl::Status CreateTable(sql::Connection& connection);

// Stores in the open transaction that the handler of `received` (by group and name) has handled that id. False: it had
// already. With PostgreSQL it waits for another transaction that is just doing the same. InvalidArgument: the message
// has no id, as its sender gave it none. For a transaction type of your own: give it a method MarkHandled(const
// Received&) that calls this.
absl::StatusOr<bool> MarkHandled(sql::Executor& transaction, const Received& received);

// Forgets what was handled longer ago than `keep`, which has to be longer than any message may be on its way: retries,
// dead letters that somebody replays. Once an hour or so; how many. The outbox's relay can call it (RelayOptions).
absl::StatusOr<int64_t> Clean(sql::Executor& database, absl::Duration keep = absl::Hours(24 * 14));

// A transaction that notes which message it is for, as an idempotent handler takes it.
class Transaction : public sql::Transaction {
 public:
  using sql::Transaction::Transaction;
  absl::StatusOr<bool> MarkHandled(const Received& received) { return inbox::MarkHandled(*this, received); }
};

}  // namespace messaging::inbox

#endif  // INBOX_INBOX_H_
