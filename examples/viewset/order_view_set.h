// Orders over HTTP; a new one is told to whoever listens to orders.created.
#ifndef EXAMPLES_VIEWSET_ORDER_VIEW_SET_H_
#define EXAMPLES_VIEWSET_ORDER_VIEW_SET_H_

#include "absl/status/statusor.h"
#include "examples/viewset/model_view_set.h"
#include "examples/viewset/order.h"
#include "sql/connection.h"

namespace viewset {

// Publishes at once: an order is created only when the broker has taken its event. When the commit after that fails, or
// the process ends in between, there is an event without an order.
class OrderViewSet : public ModelViewSet<Order> {
 public:
  absl::StatusOr<Order> PerformCreate(const Order& data, messaging::sql::Transaction& db) override;
};

// Writes the event into the outbox, in the order's transaction: both or neither, also with a broker that is down.
class OutboxOrderViewSet : public ModelViewSet<Order> {
 public:
  absl::StatusOr<Order> PerformCreate(const Order& data, messaging::sql::Transaction& db) override;
};

}  // namespace viewset

#endif  // EXAMPLES_VIEWSET_ORDER_VIEW_SET_H_
