// A ViewSet for a struct: its table, its SQL and its JSON follow from a list of its fields.
//
//   struct Order { int64_t id = 0; int64_t user_id = 0; double total = 0; };
//   template <>
//   struct Table<Order> {
//     static constexpr char kName[] = "orders";
//     static constexpr auto kFields =
//         std::make_tuple(Field{"user_id", &Order::user_id}, Field{"total", &Order::total});
//   };
//   nlohmann::json Check(const Order& order);   // What is wrong with which field; an empty object: nothing.
//
// Fields are int64_t, double and std::string, all required; `id` is the database's. Derive from it, and override the
// Perform methods for what happens besides.
#ifndef EXAMPLES_VIEWSET_MODEL_VIEW_SET_H_
#define EXAMPLES_VIEWSET_MODEL_VIEW_SET_H_

#include <cstdint>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "examples/viewset/view_set.h"

namespace viewset {

template <typename Model, typename T>
struct Field {
  const char* name;
  T Model::*member;
};
template <typename Model, typename T>
Field(const char*, T Model::*) -> Field<Model, T>;

template <typename Model>
struct Table;

template <typename Model>
class ModelViewSet : public ViewSet {
 public:
  // What a subclass adds to: in the request's transaction, with data that was checked.
  virtual absl::StatusOr<Model> PerformCreate(const Model& data, messaging::sql::Transaction& db);
  virtual absl::StatusOr<Model> PerformUpdate(const Model& data, messaging::sql::Transaction& db);
  virtual absl::Status PerformDelete(int64_t id, messaging::sql::Transaction& db);

  absl::StatusOr<nlohmann::json> List(int64_t after, int64_t limit, messaging::sql::Transaction& db) override;
  absl::StatusOr<nlohmann::json> Get(int64_t id, messaging::sql::Transaction& db) override;
  absl::StatusOr<nlohmann::json> Create(const nlohmann::json& body, messaging::sql::Transaction& db) override;
  absl::StatusOr<nlohmann::json> Update(int64_t id, const nlohmann::json& body,
                                        messaging::sql::Transaction& db) override;
  absl::Status Delete(int64_t id, messaging::sql::Transaction& db) override { return PerformDelete(id, db); }
  absl::Status CreateTable(messaging::sql::Connection& db) override;

 private:
  // Calls `each` with every field.
  template <typename Each>
  static void ForEach(Each each) {
    std::apply([&](const auto&... field) { (each(field), ...); }, Table<Model>::kFields);
  }
  static std::string Columns() {
    std::vector<std::string> names;
    ForEach([&](const auto& field) { names.push_back(field.name); });
    return absl::StrJoin(names, ", ");
  }
  static std::vector<messaging::sql::Value> Values(const Model& model) {
    std::vector<messaging::sql::Value> values;
    ForEach([&](const auto& field) { values.emplace_back(model.*field.member); });
    return values;
  }
  static absl::StatusOr<Model> Parse(const nlohmann::json& body);
  static nlohmann::json ToJson(const Model& model);
  static Model FromRow(const messaging::sql::Row& row);
};

}  // namespace viewset

#include "examples/viewset/model_view_set_impl.h"  // IWYU pragma: export. Definitions of the templates.

#endif  // EXAMPLES_VIEWSET_MODEL_VIEW_SET_H_
