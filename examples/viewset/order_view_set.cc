#include "examples/viewset/order_view_set.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "messaging/json/json.h"
#include "messaging/messaging.h"
#include "outbox/outbox.h"

namespace viewset {

// [publish]
absl::StatusOr<Order> OrderViewSet::PerformCreate(const Order& data, messaging::sql::Transaction& db) {
  absl::StatusOr<Order> order = ModelViewSet::PerformCreate(data, db);
  if (!order.ok()) return order;

  messaging::Producer& producer = messaging::GetProducer();
  absl::Status published =
      producer
          .Send("orders.created", {{"order_id", order->id}, {"user_id", order->user_id}, {"total", order->total}},
                {.key = absl::StrCat(order->id), .deadline = absl::Seconds(5)})
          .Wait()
          .status();
  if (!published.ok()) return published;
  return order;
}
// [end]

// [outbox]
absl::StatusOr<Order> OutboxOrderViewSet::PerformCreate(const Order& data, messaging::sql::Transaction& db) {
  absl::StatusOr<Order> order = ModelViewSet::PerformCreate(data, db);
  if (!order.ok()) return order;

  absl::Status written =
      messaging::outbox::Outbox(db)
          .Send("orders.created", {{"order_id", order->id}, {"user_id", order->user_id}, {"total", order->total}},
                {.key = absl::StrCat(order->id)})
          .status();
  if (!written.ok()) return written;
  return order;
}
// [end]

}  // namespace viewset
