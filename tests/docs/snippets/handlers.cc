#include "absl/strings/str_cat.h"
#include "messaging/json/json.h"
#include "messaging/messaging.h"
#include "messaging/protobuf/protobuf.h"
#include "tests/docs/snippets/payments.pb.h"
#include "tests/docs/snippets/shop.h"
#include "tests/docs/snippets/shop_events.h"

// [consumer]
absl::Status SendConfirmation(const nlohmann::json& message, Mailer& mailer) {
  return mailer.Send(message.at("user_email").get<std::string>(), "Order confirmed",
                     absl::StrCat("Order #", message.at("order_id").get<int64_t>(), " received."));
}
MESSAGE_HANDLER(SendConfirmation, {.topics = {"orders.created"}});
// [end]

// [retry]
absl::Status ChargePayment(const PaymentRequested& payment, Gateway& gateway) {
  return gateway.Charge(payment.amount_cents(), payment.card_token());  // Not OK: it will be retried.
}
MESSAGE_HANDLER(ChargePayment, {.topics = {"payments.process"}, .max_retries = 3, .retry_delay = absl::Seconds(5)});
// [end]

// [multiple-topics]
absl::Status SyncInventory(const nlohmann::json& message, const messaging::Received& received) {
  std::cout << absl::StrCat("stock of order ", message.at("order_id").get<int64_t>(), " by ", received.topic())
            << std::endl;
  return absl::OkStatus();
}
MESSAGE_HANDLER(SyncInventory, {.topics = {"orders.created", "orders.updated"}});
// [end]

// [typed]
absl::Status HandleOrder(const OrderCreated& order) {
  std::cout << absl::StrCat("order ", order.order_id, " total: ", order.total) << std::endl;
  return absl::OkStatus();
}
MESSAGE_HANDLER(HandleOrder, {.topics = {"orders.priced"}});
// [end]
