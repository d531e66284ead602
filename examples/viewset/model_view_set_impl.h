// Implementation of model_view_set.h's templates.
#ifndef EXAMPLES_VIEWSET_MODEL_VIEW_SET_IMPL_H_
#define EXAMPLES_VIEWSET_MODEL_VIEW_SET_IMPL_H_

#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "examples/viewset/model_view_set.h"

namespace viewset {
namespace internal {

inline absl::Status NoRow(const char* table, int64_t id) {
  return absl::NotFoundError(absl::StrCat("there is no ", id, " in ", table));
}

// Null: it was taken; else what is wrong.
template <typename T>
const char* TakeJson(const nlohmann::json& value, T& to) {
  if constexpr (std::is_same_v<T, std::string>) {
    if (!value.is_string()) return "is not a string";
  } else if constexpr (std::is_same_v<T, double>) {
    if (!value.is_number()) return "is not a number";
  } else {
    static_assert(std::is_same_v<T, int64_t>);
    if (!value.is_number_integer()) return "is not an integer";
    if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) return "is too large";
  }
  value.get_to(to);
  return nullptr;
}

template <typename T>
void TakeColumn(const messaging::sql::Value& value, T& to) {
  if constexpr (std::is_same_v<T, std::string>) {
    to = messaging::sql::TextOf(value);
  } else if constexpr (std::is_same_v<T, double>) {
    const auto* real = std::get_if<double>(&value);
    to = real != nullptr ? *real : static_cast<double>(messaging::sql::NumberOf(value));
  } else {
    to = messaging::sql::NumberOf(value);
  }
}

template <typename T>
const char* ColumnType() {
  if constexpr (std::is_same_v<T, std::string>) return "TEXT";
  if constexpr (std::is_same_v<T, double>) return "DOUBLE PRECISION";
  return "BIGINT";
}

}  // namespace internal

template <typename Model>
absl::StatusOr<Model> ModelViewSet<Model>::Parse(const nlohmann::json& body) {
  if (!body.is_object()) return absl::InvalidArgumentError("the body is no JSON object");
  Model model;
  nlohmann::json errors = nlohmann::json::object();
  size_t taken = 0;
  ForEach([&](const auto& field) {
    const auto found = body.find(field.name);
    const char* wrong = found == body.end() ? "is missing" : internal::TakeJson(*found, model.*field.member);
    if (wrong != nullptr) errors[field.name] = wrong;
    if (found != body.end()) ++taken;
  });
  if (taken < body.size()) {
    for (const auto& [name, value] : body.items()) {
      bool known = false;
      ForEach([&](const auto& field) { known = known || name == field.name; });
      if (!known) errors[name] = "is not a field";
    }
  }
  if (errors.empty()) errors = Check(model);
  if (!errors.empty()) return FieldErrors(errors);
  return model;
}

template <typename Model>
nlohmann::json ModelViewSet<Model>::ToJson(const Model& model) {
  nlohmann::json json = {{"id", model.id}};
  ForEach([&](const auto& field) { json[field.name] = model.*field.member; });
  return json;
}

template <typename Model>
Model ModelViewSet<Model>::FromRow(const messaging::sql::Row& row) {
  Model model;
  model.id = messaging::sql::NumberOf(row[0]);
  size_t i = 0;
  ForEach([&](const auto& field) { internal::TakeColumn(row[++i], model.*field.member); });
  return model;
}

template <typename Model>
absl::Status ModelViewSet<Model>::CreateTable(messaging::sql::Connection& db) {
  std::string columns = db.dialect() == messaging::sql::Dialect::kSqlite
                            ? "id INTEGER PRIMARY KEY AUTOINCREMENT"
                            : "id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY";
  ForEach([&](const auto& field) {
    using T = std::remove_cvref_t<decltype(Model().*field.member)>;
    absl::StrAppend(&columns, ", ", field.name, " ", internal::ColumnType<T>(), " NOT NULL");
  });
  return db.Script(absl::StrCat("CREATE TABLE IF NOT EXISTS ", Table<Model>::kName, "(", columns, ")"));
}

template <typename Model>
absl::StatusOr<Model> ModelViewSet<Model>::PerformCreate(const Model& data, messaging::sql::Transaction& db) {
  std::vector<messaging::sql::Value> values = Values(data);
  std::vector<std::string> places;
  for (size_t i = 1; i <= values.size(); ++i) places.push_back(absl::StrCat("$", i));
  absl::StatusOr<messaging::sql::Result> made =
      db.Execute(absl::StrCat("INSERT INTO ", Table<Model>::kName, "(", Columns(), ") VALUES(",
                              absl::StrJoin(places, ", "), ") RETURNING id"),
                 absl::MakeConstSpan(values));
  if (!made.ok()) return made.status();
  Model model = data;
  model.id = messaging::sql::NumberOf(made->rows[0][0]);
  return model;
}

template <typename Model>
absl::StatusOr<Model> ModelViewSet<Model>::PerformUpdate(const Model& data, messaging::sql::Transaction& db) {
  std::vector<messaging::sql::Value> values = Values(data);
  std::vector<std::string> settings;
  ForEach([&](const auto& field) { settings.push_back(absl::StrCat(field.name, " = $", settings.size() + 1)); });
  values.emplace_back(data.id);
  absl::StatusOr<messaging::sql::Result> changed =
      db.Execute(absl::StrCat("UPDATE ", Table<Model>::kName, " SET ", absl::StrJoin(settings, ", "), " WHERE id = $",
                              values.size()),
                 absl::MakeConstSpan(values));
  if (!changed.ok()) return changed.status();
  if (changed->changed == 0) return internal::NoRow(Table<Model>::kName, data.id);
  return data;
}

template <typename Model>
absl::Status ModelViewSet<Model>::PerformDelete(int64_t id, messaging::sql::Transaction& db) {
  absl::StatusOr<messaging::sql::Result> gone =
      db.Execute(absl::StrCat("DELETE FROM ", Table<Model>::kName, " WHERE id = $1"), {id});
  if (!gone.ok()) return gone.status();
  return gone->changed == 0 ? internal::NoRow(Table<Model>::kName, id) : absl::OkStatus();
}

template <typename Model>
absl::StatusOr<nlohmann::json> ModelViewSet<Model>::List(int64_t after, int64_t limit,
                                                         messaging::sql::Transaction& db) {
  absl::StatusOr<messaging::sql::Result> found = db.Execute(
      absl::StrCat("SELECT id, ", Columns(), " FROM ", Table<Model>::kName, " WHERE id > $1 ORDER BY id LIMIT $2"),
      {after, limit});
  if (!found.ok()) return found.status();
  nlohmann::json all = nlohmann::json::array();
  for (const messaging::sql::Row& row : found->rows) all.push_back(ToJson(FromRow(row)));
  return all;
}

template <typename Model>
absl::StatusOr<nlohmann::json> ModelViewSet<Model>::Get(int64_t id, messaging::sql::Transaction& db) {
  absl::StatusOr<messaging::sql::Result> found =
      db.Execute(absl::StrCat("SELECT id, ", Columns(), " FROM ", Table<Model>::kName, " WHERE id = $1"), {id});
  if (!found.ok()) return found.status();
  if (found->rows.empty()) return internal::NoRow(Table<Model>::kName, id);
  return ToJson(FromRow(found->rows[0]));
}

template <typename Model>
absl::StatusOr<nlohmann::json> ModelViewSet<Model>::Create(const nlohmann::json& body,
                                                           messaging::sql::Transaction& db) {
  absl::StatusOr<Model> data = Parse(body);
  if (!data.ok()) return data.status();
  absl::StatusOr<Model> made = PerformCreate(*data, db);
  if (!made.ok()) return made.status();
  return ToJson(*made);
}

template <typename Model>
absl::StatusOr<nlohmann::json> ModelViewSet<Model>::Update(int64_t id, const nlohmann::json& body,
                                                           messaging::sql::Transaction& db) {
  absl::StatusOr<Model> data = Parse(body);
  if (!data.ok()) return data.status();
  data->id = id;
  absl::StatusOr<Model> changed = PerformUpdate(*data, db);
  if (!changed.ok()) return changed.status();
  return ToJson(*changed);
}

}  // namespace viewset

#endif  // EXAMPLES_VIEWSET_MODEL_VIEW_SET_IMPL_H_
