// What the shop does when something happens to an order. Delivery is at least once: each handler may be called again
// with a message that it has handled, after a crash, and has to leave the same result. Each shows one way.
#ifndef EXAMPLES_ORDERS_HANDLERS_H_
#define EXAMPLES_ORDERS_HANDLERS_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "examples/orders/database.h"
#include "examples/orders/order.h"
#include "examples/orders/orders.pb.h"
#include "examples/orders/outside.h"
#include "messaging/received.h"
#include "nlohmann/json.hpp"

namespace orders {

// orders.created: mails the buyer. Twice the same: the mail service knows the order by its number.
absl::Status SendConfirmation(const nlohmann::json& message, Mailer& mailer);

// orders.created, orders.updated: moves stock. Twice the same: the message's id is stored in the same transaction as
// the movement, and a second one does nothing.
absl::Status SyncInventory(const nlohmann::json& message, const messaging::Received& received, Transaction& db);

// orders.created, many at a time: one row an order. Twice the same: the second write replaces the first.
std::vector<absl::Status> IndexOrders(absl::Span<const Order> orders, Transaction& db);

// payments.process: charges the card, and is retried when the gateway fails. Twice the same: the gateway charges an
// order once.
absl::Status ChargePayment(const PaymentRequested& payment, Gateway& gateway);

}  // namespace orders

#endif  // EXAMPLES_ORDERS_HANDLERS_H_
