#include "messaging/protobuf/json_mapping.h"

#include "google/protobuf/util/json_util.h"

namespace messaging::internal {
namespace {

// google::protobuf::util::Status, or absl::Status; its text a StringPiece, or a std::string_view.
template <typename Status>
absl::Status AsAbseil(const Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(std::string(status.message().data(), status.message().size()));
}

}  // namespace

absl::Status FromJson(std::string_view json, google::protobuf::Message& out) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  return AsAbseil(google::protobuf::util::JsonStringToMessage({json.data(), json.size()}, &out, options));
}

absl::Status ToJson(const google::protobuf::Message& message, std::string& out) {
  return AsAbseil(google::protobuf::util::MessageToJsonString(message, &out));
}

}  // namespace messaging::internal
