#include "examples/viewset/view_set.h"

#include <string>

#include "absl/strings/cord.h"

namespace viewset {
namespace {

constexpr char kErrors[] = "viewset/field-errors";

}  // namespace

absl::Status FieldErrors(const nlohmann::json& errors) {
  absl::Status status = absl::InvalidArgumentError("the body is not what is asked for");
  status.SetPayload(kErrors, absl::Cord(errors.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
  return status;
}

nlohmann::json FieldErrorsOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kErrors);
  if (!payload) return nullptr;
  return nlohmann::json::parse(std::string(*payload), nullptr, /*allow_exceptions=*/false);
}

}  // namespace viewset
