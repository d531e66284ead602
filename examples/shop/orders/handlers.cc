// An order's way: placed, reserved, then confirmed or cancelled. This service leads it; the others do as they are asked
// and answer. A message that comes when the order is elsewhere already (a client that asks twice, an answer after the
// end) changes nothing.
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
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

constexpr absl::Duration kTimeToPay = absl::Hours(1);

absl::Status CheckRequest(const OrderRequested& order) {
  if (order.item().empty()) return absl::InvalidArgumentError("no item");
  if (order.quantity() <= 0) return absl::InvalidArgumentError("quantity is not positive");
  if (order.total_cents() <= 0) return absl::InvalidArgumentError("total_cents is not positive");
  return HasOrder(order);
}

// Moves the order from one state to another; no row: it was not there.
absl::StatusOr<Result> Move(Transaction& db, int64_t order_id, const char* from, const char* to) {
  return db.Execute(
      "UPDATE orders SET state = $1 WHERE order_id = $2 AND state = $3 RETURNING user_id, total_cents, card",
      {to, order_id, from});
}

absl::Status Cancel(Transaction& db, int64_t order_id, const char* from, const std::string& reason) {
  absl::StatusOr<Result> moved = Move(db, order_id, from, "cancelled");
  if (!moved.ok() || moved->rows.empty()) return moved.status();
  OrderCancelled cancelled;
  cancelled.set_order_id(order_id);
  cancelled.set_user_id(NumberOf(moved->rows[0][0]));
  cancelled.set_reason(reason);
  return Publish(db, kOrderCancelled, cancelled);
}

}  // namespace

absl::Status PlaceOrder(const OrderRequested& order, Transaction& db) {
  absl::StatusOr<Result> made = db.Execute(
      "INSERT INTO orders(order_id, user_id, item, quantity, total_cents, card, state)"
      " VALUES($1, $2, $3, $4, $5, $6, 'placed') ON CONFLICT DO NOTHING",
      {order.order_id(), order.user_id(), order.item(), order.quantity(), order.total_cents(), order.card()});
  if (!made.ok() || made->changed == 0) return made.status();
  StockRequested request;
  request.set_order_id(order.order_id());
  request.set_item(order.item());
  request.set_quantity(order.quantity());
  return Publish(db, kReserveStock, request);
}

absl::Status AskForMoney(const StockReserved& reserved, Transaction& db) {
  absl::StatusOr<Result> moved = Move(db, reserved.order_id(), "placed", "reserved");
  if (!moved.ok() || moved->rows.empty()) return moved.status();
  PaymentRequested request;
  request.set_order_id(reserved.order_id());
  request.set_amount_cents(NumberOf(moved->rows[0][1]));
  request.set_card(TextOf(moved->rows[0][2]));
  request.set_pay_by(absl::ToUnixSeconds(absl::Now() + kTimeToPay));
  return Publish(db, kChargePayment, request);
}

absl::Status CancelSoldOut(const StockRefused& refused, Transaction& db) {
  return Cancel(db, refused.order_id(), "placed", refused.reason());
}

absl::Status Confirm(const PaymentCharged& charged, Transaction& db) {
  absl::StatusOr<Result> moved = Move(db, charged.order_id(), "reserved", "confirmed");
  if (!moved.ok() || moved->rows.empty()) return moved.status();
  OrderConfirmed confirmed;
  confirmed.set_order_id(charged.order_id());
  confirmed.set_user_id(NumberOf(moved->rows[0][0]));
  return Publish(db, kOrderConfirmed, confirmed);
}

// The compensation: the inventory hears of it and takes back what it had reserved.
absl::Status CancelUnpaid(const PaymentFailed& failed, Transaction& db) {
  return Cancel(db, failed.order_id(), "reserved", failed.reason());
}

MESSAGE_HANDLER(PlaceOrder, (Handling(kPlaceOrder, &CheckRequest)));
MESSAGE_HANDLER(AskForMoney, (Handling(kStockReserved, &HasOrder<StockReserved>)));
MESSAGE_HANDLER(CancelSoldOut, (Handling(kStockRefused, &HasOrder<StockRefused>)));
MESSAGE_HANDLER(Confirm, (Handling(kPaymentCharged, &HasOrder<PaymentCharged>)));
MESSAGE_HANDLER(CancelUnpaid, (Handling(kPaymentFailed, &HasOrder<PaymentFailed>)));

}  // namespace shop
