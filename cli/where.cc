#include "cli/where.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"

namespace messaging::cli {
namespace {

constexpr std::string_view kHeader = "header.";
constexpr std::string_view kPayload = "payload.";

using Json = nlohmann::json;

// Null: there is no such field.
const Json* Field(const Json& value, const std::vector<std::string>& path) {
  const Json* at = &value;
  for (const std::string& step : path) {
    size_t index = 0;
    if (at->is_object()) {
      const auto found = at->find(step);
      if (found == at->end()) return nullptr;
      at = &*found;
    } else if (at->is_array() && absl::SimpleAtoi(step, &index) && index < at->size()) {
      at = &(*at)[index];
    } else {
      return nullptr;
    }
  }
  return at;
}

bool Equals(const Json& field, const std::string& value) {
  if (field.is_string() && field.get_ref<const std::string&>() == value) return true;
  const Json wanted = Json::parse(value, nullptr, /*allow_exceptions=*/false);
  return !wanted.is_discarded() && wanted == field;
}

}  // namespace

absl::StatusOr<Where> Where::Parse(const std::vector<std::string>& texts, const std::vector<std::string>& names) {
  Where where;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    const bool negated = equals != std::string::npos && equals > 0 && text[equals - 1] == '!';
    Condition condition{.name = text.substr(0, equals == std::string::npos ? 0 : equals - (negated ? 1 : 0)),
                        .equal = !negated};
    if (equals != std::string::npos) condition.value = text.substr(equals + 1);
    if (absl::StartsWith(condition.name, kPayload) && condition.name.size() > kPayload.size()) {
      condition.path = absl::StrSplit(condition.name.substr(kPayload.size()), '.');
      condition.name = "payload";
    } else if (std::find(names.begin(), names.end(), condition.name) == names.end() &&
               !(absl::StartsWith(condition.name, kHeader) && condition.name.size() > kHeader.size())) {
      return absl::InvalidArgumentError(absl::StrCat("--where: \"", text,
                                                     "\" is not NAME=VALUE or NAME!=VALUE with one of ",
                                                     absl::StrJoin(names, ", "), ", header.NAME, payload.FIELD"));
    }
    where.conditions_.push_back(std::move(condition));
  }
  return where;
}

bool Where::Matches(const Lookup& lookup) const {
  std::optional<Json> payload;  // Parsed when first asked for.
  for (const Condition& condition : conditions_) {
    const std::optional<std::string_view> found = lookup(condition.name);
    bool equal = false;
    if (condition.path.empty()) {
      equal = found == condition.value;
    } else if (found) {
      if (!payload) payload = Json::parse(*found, nullptr, /*allow_exceptions=*/false);
      const Json* field = payload->is_discarded() ? nullptr : Field(*payload, condition.path);
      equal = field != nullptr && Equals(*field, condition.value);
    }
    if (equal != condition.equal) return false;
  }
  return true;
}

}  // namespace messaging::cli
