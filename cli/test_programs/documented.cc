// Handlers of every kind of message, for `core asyncapi`.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "cli/test_programs/documented.pb.h"
#include "messaging/json/json.h"
#include "messaging/messaging.h"
#include "messaging/protobuf/protobuf.h"

namespace shop {

struct Order {
  int64_t order_id = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Order, order_id)
std::string JsonSchema(const Order*) {
  return R"({"type": "object", "properties": {"order_id": {"type": "integer"}}, "required": ["order_id"]})";
}

struct Refund {
  int64_t order_id = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Refund, order_id)

absl::Status ChargePayment(const documented::Payment&) { return absl::OkStatus(); }
absl::Status Ship(const Order&) { return absl::OkStatus(); }
absl::Status Refunds(const Refund&) { return absl::OkStatus(); }
absl::Status Anything(const nlohmann::json&) { return absl::OkStatus(); }
absl::Status Bytes(std::string_view) { return absl::OkStatus(); }
std::vector<absl::Status> Index(absl::Span<const Order> all) { return std::vector<absl::Status>(all.size()); }

MESSAGE_HANDLER(ChargePayment, {.topics = {"payments.process"}, .max_retries = 0});
MESSAGE_HANDLER(ChargePayment,
                {.topics = {"payments.json"}, .name = "Charge/JSON", .content_type = "application/json"});
MESSAGE_HANDLER(Ship, {.topics = {"orders.created", "orders.updated"}, .group = "shipping"});
MESSAGE_HANDLER(Refunds, {.topics = {"refunds"}});
MESSAGE_HANDLER(Anything, {.topics = {"orders.created"}});
MESSAGE_HANDLER(Bytes, {.topics = {"blobs"}});
MESSAGE_HANDLER(Index, {.topics = {"orders.created"}});

}  // namespace shop
