// An order as it travels: a plain struct with a conversion from and to JSON is all that a typed handler needs.
#ifndef EXAMPLES_ORDERS_ORDER_H_
#define EXAMPLES_ORDERS_ORDER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace orders {

struct Order {
  int64_t order_id = 0;
  int64_t user_id = 0;
  double total = 0;
};

inline void from_json(const nlohmann::json& json, Order& order) {
  json.at("order_id").get_to(order.order_id);
  json.at("user_id").get_to(order.user_id);
  json.at("total").get_to(order.total);
}

inline void to_json(nlohmann::json& json, const Order& order) {
  json = {{"order_id", order.order_id}, {"user_id", order.user_id}, {"total", order.total}};
}

// Found beside the type and called before each handler of it: what is not OK goes to the dead letters at once.
inline absl::Status Validate(const Order& order) {
  if (order.order_id <= 0) return absl::InvalidArgumentError("order_id is not positive");
  if (order.total < 0) return absl::InvalidArgumentError("total is negative");
  return absl::OkStatus();
}

}  // namespace orders

#endif  // EXAMPLES_ORDERS_ORDER_H_
