// The quick start's typed message, and the functions that send.
#ifndef TESTS_DOCS_SNIPPETS_SHOP_EVENTS_H_
#define TESTS_DOCS_SNIPPETS_SHOP_EVENTS_H_

// [typed-message]
#include <cstdint>

#include "absl/status/status.h"
#include "messaging/json/json.h"

struct OrderCreated {
  int64_t order_id = 0;
  int64_t user_id = 0;
  double total = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(OrderCreated, order_id, user_id, total)

// Found beside the type and called before the handler.
inline absl::Status Validate(const OrderCreated& order) {
  return order.total < 0 ? absl::InvalidArgumentError("total is negative") : absl::OkStatus();
}
// [end]

#endif  // TESTS_DOCS_SNIPPETS_SHOP_EVENTS_H_
