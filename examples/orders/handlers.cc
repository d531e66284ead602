#include "examples/orders/handlers.h"

#include <cstdlib>
#include <string>

#include "absl/time/time.h"
#include "messaging/json/json.h"
#include "messaging/messaging.h"
#include "messaging/protobuf/protobuf.h"

namespace orders {
namespace {

// Five seconds, unless ORDERS_RETRY_DELAY says otherwise ("1s", "200ms"): a demonstration should not have to wait.
absl::Duration RetryDelay() {
  absl::Duration delay;
  const char* text = std::getenv("ORDERS_RETRY_DELAY");
  return text != nullptr && absl::ParseDuration(text, &delay) ? delay : absl::Seconds(5);
}

absl::Status CheckPayment(const PaymentRequested& payment) {
  if (payment.order_id() <= 0) return absl::InvalidArgumentError("order_id is not positive");
  if (payment.amount_cents() <= 0) return absl::InvalidArgumentError("amount_cents is not positive");
  if (payment.card_token().empty()) return absl::InvalidArgumentError("no card_token");
  return absl::OkStatus();
}

}  // namespace

absl::Status SendConfirmation(const nlohmann::json& message, Mailer& mailer) {
  const auto order_id = message.find("order_id");
  const auto email = message.find("user_email");
  if (order_id == message.end() || !order_id->is_number_integer()) return absl::InvalidArgumentError("no order_id");
  if (email == message.end() || !email->is_string()) return absl::InvalidArgumentError("no user_email");
  return mailer.SendConfirmation(order_id->get<int64_t>(), email->get_ref<const std::string&>());
}
MESSAGE_HANDLER(SendConfirmation, {.topics = {"orders.created"}});

absl::Status SyncInventory(const nlohmann::json& message, const messaging::Received& received, Transaction& db) {
  const auto order_id = message.find("order_id");
  const auto item = message.find("item");
  const auto quantity = message.find("quantity");  // In orders.updated: the difference.
  if (order_id == message.end() || !order_id->is_number_integer()) return absl::InvalidArgumentError("no order_id");
  if (item == message.end() || !item->is_string()) return absl::InvalidArgumentError("no item");
  if (quantity == message.end() || !quantity->is_number_integer()) return absl::InvalidArgumentError("no quantity");
  const auto& name = item->get_ref<const std::string&>();
  const auto count = quantity->get<int64_t>();
  // [idempotent]
  absl::StatusOr<int64_t> is_new =
      db.Execute("INSERT OR IGNORE INTO movements(message_id, order_id, item, quantity) VALUES(?, ?, ?, ?)",
                 {received.id(), order_id->get<int64_t>(), name, count});
  if (!is_new.ok() || *is_new == 0) return is_new.status();  // Handled before.
  return db
      .Execute(
          "INSERT INTO stock(item, reserved) VALUES(?1, ?2) ON CONFLICT(item) DO UPDATE SET reserved = reserved + ?2",
          {name, count})
      .status();
  // [end]
}
MESSAGE_HANDLER(SyncInventory, {.topics = {"orders.created", "orders.updated"}});

std::vector<absl::Status> IndexOrders(absl::Span<const Order> orders, Transaction& db) {
  std::vector<absl::Status> outcomes;
  for (const Order& order : orders) {
    outcomes.push_back(db.Execute("INSERT OR REPLACE INTO orders(order_id, user_id, total) VALUES(?, ?, ?)",
                                  {order.order_id, order.user_id, order.total})
                           .status());
  }
  return outcomes;
}
MESSAGE_HANDLER(IndexOrders, {.topics = {"orders.created"}, .batch = {.max = 500, .wait = absl::Milliseconds(20)}});

absl::Status ChargePayment(const PaymentRequested& payment, Gateway& gateway) {
  return gateway.Charge(payment.order_id(), payment.amount_cents(), payment.card_token());
}
MESSAGE_HANDLER(ChargePayment, {.topics = {"payments.process"},
                                .max_retries = 3,
                                .retry_delay = RetryDelay(),
                                .validate = &CheckPayment});

}  // namespace orders
