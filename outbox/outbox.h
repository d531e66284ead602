// Messages that are sent if, and only if, a transaction commits: written into a table of the caller's own database, in
// the caller's own transaction, and sent from there by a relay (relay.h).
//
//   absl::Status PlaceOrder(const Order& order, sql::Transaction& db) {
//     ... db.Execute("INSERT INTO orders ...") ...
//     return outbox::Outbox(db).Send("orders.created", order, {.key = order.id}).status();
//   }
#ifndef OUTBOX_OUTBOX_H_
#define OUTBOX_OUTBOX_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/message.h"
#include "messaging/producer.h"
#include "sql/connection.h"
#include "sql/executor.h"

namespace messaging::outbox {

// Makes the table messaging_outbox where it is missing. Any number of processes, at any time.
absl::Status CreateTable(sql::Connection& connection);

// Cheap: made where it is used.
class Outbox {
 public:
  // `transaction` is one that is open: else a message is as good as sent at once, whatever comes after it.
  explicit Outbox(sql::Executor& transaction) : transaction_(transaction) {}

  // As Producer::Send, into the table; the message's id, or why it was not written: then roll back. Of the options,
  // deadline, wait_for_room and detached mean nothing here.
  // Messages of one key are sent in the order of their commits: with PostgreSQL a transaction that sends to a key waits
  // for the end of another one that did, and two that wait for each other fail with Aborted.
  template <typename Tag = void, typename Body = typename DefaultBody<Tag>::type>
  absl::StatusOr<std::string> Send(std::string_view topic, const Body& body, SendOptions options = {}) {
    Message message;
    absl::Status encoded = internal::EncodeBody(topic, body, options, message);
    if (!encoded.ok()) return encoded;
    return Send(std::move(message), std::move(options));
  }
  absl::StatusOr<std::string> Send(Message message, SendOptions options = {});

 private:
  sql::Executor& transaction_;
};

// How far behind the relay is.
struct Lag {
  int64_t waiting = 0;                           // Messages committed and not known to be sent.
  int64_t refused = 0;                           // Those that the broker never will take.
  absl::Duration oldest = absl::ZeroDuration();  // For how long the first of the waiting has waited.
};
absl::StatusOr<Lag> MeasureLag(sql::Executor& database);

// Has the relay try refused messages once more, after what was wrong with them was mended. How many.
absl::StatusOr<int64_t> RetryRefused(sql::Executor& database);

}  // namespace messaging::outbox

#endif  // OUTBOX_OUTBOX_H_
