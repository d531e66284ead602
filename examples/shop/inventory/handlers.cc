// What lies in the store: on_hand, of which `reserved` is kept back for orders that are not confirmed yet.
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "examples/shop/events/shop.pb.h"
#include "examples/shop/events/topics.h"
#include "examples/shop/service/service.h"
#include "messaging/messaging.h"

namespace shop {
namespace {

using messaging::inbox::Transaction;
using messaging::sql::NumberOf;
using messaging::sql::Result;
using messaging::sql::TextOf;

absl::Status CheckRequest(const StockRequested& request) {
  if (request.quantity() <= 0) return absl::InvalidArgumentError("quantity is not positive");
  return HasOrder(request);
}

// Ends the order's reservation; `leaves`: what was reserved has left the store.
absl::Status End(Transaction& db, int64_t order_id, bool leaves) {
  absl::StatusOr<Result> ended =
      db.Execute("DELETE FROM reservations WHERE order_id = $1 RETURNING item, quantity", {order_id});
  if (!ended.ok() || ended->rows.empty()) return ended.status();  // Sold out: there was none.
  const std::string item = TextOf(ended->rows[0][0]);
  const int64_t quantity = NumberOf(ended->rows[0][1]);
  return db
      .Execute(
          "UPDATE stock SET reserved = reserved - $1, on_hand = on_hand - $2, shipped = shipped + $3 WHERE item = $4",
          {quantity, leaves ? quantity : 0, leaves ? quantity : 0, item})
      .status();
}

}  // namespace

absl::Status ReserveStock(const StockRequested& request, Transaction& db) {
  absl::StatusOr<Result> kept =
      db.Execute("UPDATE stock SET reserved = reserved + $1 WHERE item = $2 AND on_hand - reserved >= $3",
                 {request.quantity(), request.item(), request.quantity()});
  if (!kept.ok()) return kept.status();
  if (kept->changed == 0) {
    StockRefused refused;
    refused.set_order_id(request.order_id());
    refused.set_reason("sold out: " + request.item());
    return Publish(db, kStockRefused, refused);
  }
  absl::Status noted = db.Execute("INSERT INTO reservations(order_id, item, quantity) VALUES($1, $2, $3)",
                                  {request.order_id(), request.item(), request.quantity()})
                           .status();
  if (!noted.ok()) return noted;
  StockReserved reserved;
  reserved.set_order_id(request.order_id());
  return Publish(db, kStockReserved, reserved);
}

absl::Status Ship(const OrderConfirmed& order, Transaction& db) { return End(db, order.order_id(), true); }
absl::Status TakeBack(const OrderCancelled& order, Transaction& db) { return End(db, order.order_id(), false); }

MESSAGE_HANDLER(ReserveStock, (Handling(kReserveStock, &CheckRequest)));
MESSAGE_HANDLER(Ship, (Handling(kOrderConfirmed, &HasOrder<OrderConfirmed>)));
MESSAGE_HANDLER(TakeBack, (Handling(kOrderCancelled, &HasOrder<OrderCancelled>)));

}  // namespace shop
