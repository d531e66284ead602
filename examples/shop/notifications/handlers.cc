// Tells the user how an order ended; a row stands for the mail.
#include <string>

#include "absl/status/status.h"
#include "examples/shop/events/shop.pb.h"
#include "examples/shop/events/topics.h"
#include "examples/shop/service/service.h"
#include "messaging/messaging.h"

namespace shop {
namespace {

using messaging::inbox::Transaction;

absl::Status Notify(Transaction& db, int64_t order_id, int64_t user_id, const std::string& text) {
  return db.Execute("INSERT INTO notifications(order_id, user_id, text) VALUES($1, $2, $3)", {order_id, user_id, text})
      .status();
}

}  // namespace

absl::Status TellConfirmed(const OrderConfirmed& order, Transaction& db) {
  return Notify(db, order.order_id(), order.user_id(), "confirmed");
}
absl::Status TellCancelled(const OrderCancelled& order, Transaction& db) {
  return Notify(db, order.order_id(), order.user_id(), "cancelled: " + order.reason());
}

MESSAGE_HANDLER(TellConfirmed, (Handling(kOrderConfirmed, &HasOrder<OrderConfirmed>)));
MESSAGE_HANDLER(TellCancelled, (Handling(kOrderCancelled, &HasOrder<OrderCancelled>)));

}  // namespace shop
