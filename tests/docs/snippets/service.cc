#include "tests/docs/snippets/service.h"

#include "absl/strings/str_cat.h"
#include "messaging/json/json.h"
#include "tests/docs/snippets/shop_events.h"

absl::Status ConfigureShop(const std::string& path) {
  // [configure]
  absl::Status status = messaging::Configure({.broker = "sqlite", .url = absl::StrCat("sqlite://", path)});
  // [end]
  return status;
}

// [producer]
void SendOrderCreated(int64_t order_id, int64_t user_id) {
  messaging::Producer& producer = messaging::GetProducer();
  producer.Send("orders.created",
                {{"order_id", order_id}, {"user_id", user_id}, {"timestamp", absl::FormatTime(absl::Now())}});
}
// [end]

absl::StatusOr<messaging::Receipt> SendAndWait(int64_t order_id) {
  messaging::Producer& producer = messaging::GetProducer();
  // [confirmation]
  messaging::Confirmation sent =
      producer.Send("orders.created", {{"order_id", order_id}}, {.key = absl::StrCat(order_id)});
  sent.Then([](const absl::StatusOr<messaging::Receipt>& receipt) {
    if (!receipt.ok()) std::cerr << receipt.status() << "\n";
  });
  absl::StatusOr<messaging::Receipt> receipt = sent.Wait();
  // [end]
  return receipt;
}

// [service]
absl::StatusOr<int64_t> CreateOrder(Orders& orders, int64_t user_id, double total) {
  const int64_t order_id = orders.Insert(user_id, total);
  OrderCreated event{.order_id = order_id, .user_id = user_id, .total = total};
  auto receipt = messaging::GetProducer().Send("orders.priced", event, {.key = absl::StrCat(order_id)}).Wait();
  if (!receipt.ok()) return receipt.status();  // Stored, but perhaps not published: the caller decides.
  return order_id;
}
// [end]

// [manual]
absl::StatusOr<std::unique_ptr<messaging::Client>> StartCustomConsumer(
    const std::string& url, std::function<absl::Status(const std::string&)> process_message) {
  absl::StatusOr<std::unique_ptr<messaging::Client>> consumer =
      messaging::Client::Create({.name = "custom", .url = url, .group = "my-service"});
  if (!consumer.ok()) return consumer;
  (*consumer)->AddHandler(
      messaging::MakeHandler("ProcessMessage", std::move(process_message), {.topics = {"orders.created"}}));
  if (absl::Status started = (*consumer)->Start(); !started.ok()) return started;
  return consumer;
}
// [end]
