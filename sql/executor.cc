#include "sql/executor.h"

#include "absl/strings/numbers.h"

namespace messaging::sql {

absl::StatusOr<int64_t> Executor::Number(const std::string& sql, std::initializer_list<Value> values,
                                         int64_t otherwise) {
  absl::StatusOr<Result> result = Execute(sql, values);
  if (!result.ok()) return result.status();
  if (result->rows.empty() || std::holds_alternative<Null>(result->rows[0][0])) return otherwise;
  return NumberOf(result->rows[0][0]);
}

std::string TextOf(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* bytes = std::get_if<Bytes>(&value)) return bytes->data;
  return "";
}

int64_t NumberOf(const Value& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return *number;
  if (const auto* real = std::get_if<double>(&value)) return static_cast<int64_t>(*real);
  int64_t number = 0;
  return absl::SimpleAtoi(TextOf(value), &number) ? number : 0;
}

}  // namespace messaging::sql
