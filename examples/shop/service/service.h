// What each of the shop's services does alike: a database of its own, handlers whose effects and messages are of one
// transaction, and the relay that sends those.
#ifndef EXAMPLES_SHOP_SERVICE_SERVICE_H_
#define EXAMPLES_SHOP_SERVICE_SERVICE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "inbox/inbox.h"
#include "messaging/handler_options.h"
#include "messaging/protobuf/protobuf.h"
#include "outbox/outbox.h"

namespace shop {

// The program: `core`'s commands. `schema` makes the service's tables where they are missing, in SQL that both
// databases take. SHOP_DATABASE says where they are (sqlite://NAME.db), MESSAGING_URL where the broker is.
int RunService(int argc, char** argv, const char* name, const char* schema);

// Sends when the handler's transaction commits. All that is about one order is in order.
template <typename Event>
absl::Status Publish(messaging::inbox::Transaction& db, const char* topic, const Event& event) {
  return messaging::outbox::Outbox(db).Send(topic, event, {.key = absl::StrCat(event.order_id())}).status();
}

// For a handler of this topic: once for each message, and tried again for some minutes, as other services' machines are
// restarted, too. SHOP_RETRY_DELAY, as "100ms", is the first delay.
messaging::HandlerOptions Handling(const char* topic, messaging::Validator validate, int max_retries = 8);

// Of every event: an order's number is positive.
template <typename Event>
absl::Status HasOrder(const Event& event) {
  return event.order_id() > 0 ? absl::OkStatus() : absl::InvalidArgumentError("order_id is not positive");
}

}  // namespace shop

#endif  // EXAMPLES_SHOP_SERVICE_SERVICE_H_
