// An order, as a row.
#ifndef EXAMPLES_VIEWSET_ORDER_H_
#define EXAMPLES_VIEWSET_ORDER_H_

#include <cmath>
#include <cstdint>
#include <string>
#include <tuple>

#include "examples/viewset/model_view_set.h"
#include "nlohmann/json.hpp"

namespace viewset {

struct Order {
  int64_t id = 0;
  int64_t user_id = 0;
  std::string item;
  double total = 0;
};

template <>
struct Table<Order> {
  static constexpr char kName[] = "orders";
  static constexpr auto kFields =
      std::make_tuple(Field{"user_id", &Order::user_id}, Field{"item", &Order::item}, Field{"total", &Order::total});
};

inline nlohmann::json Check(const Order& order) {
  nlohmann::json errors = nlohmann::json::object();
  if (order.user_id <= 0) errors["user_id"] = "is not positive";
  if (order.item.empty() || order.item.size() > 200) errors["item"] = "is not of 1 to 200 bytes";
  if (order.item.find('\0') != std::string::npos) errors["item"] = "holds a NUL";
  if (!(order.total >= 0) || std::isinf(order.total)) errors["total"] = "is negative or no number";
  return errors;
}

}  // namespace viewset

#endif  // EXAMPLES_VIEWSET_ORDER_H_
