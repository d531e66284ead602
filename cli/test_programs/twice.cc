// Two handlers of one name.
#include <string_view>

#include "absl/status/status.h"
#include "messaging/messaging.h"

namespace orders {
absl::Status Handle(const std::string_view&) { return absl::OkStatus(); }
}  // namespace orders

namespace payments {
absl::Status Handle(const std::string_view&) { return absl::OkStatus(); }
}  // namespace payments

MESSAGE_HANDLER(orders::Handle, {.topics = {"orders.created"}});
MESSAGE_HANDLER(payments::Handle, {.topics = {"payments.process"}});
