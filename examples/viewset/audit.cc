// Who listens to orders.created: prints each order that was created.
#include <iostream>

#include "messaging/json/json.h"
#include "messaging/messaging.h"

namespace viewset {

absl::Status AuditOrder(const nlohmann::json& order) {
  // In one piece: handlers run on several threads at once.
  std::cout << "created " + order.dump() + "\n" << std::flush;
  return absl::OkStatus();
}
MESSAGE_HANDLER(AuditOrder, {.topics = {"orders.created"}});

}  // namespace viewset
