#include "messaging/protobuf/protobuf.h"

#include <limits>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "messaging/protobuf/json_mapping.h"
#include "messaging/protobuf/schema.h"

namespace messaging {
namespace internal {
namespace {

enum class Form { kBinary, kJson, kUnknown };

Form FormOf(std::string_view content_type) {
  if (content_type.empty()) return Form::kBinary;
  const std::string_view type = absl::StripAsciiWhitespace(content_type.substr(0, content_type.find(';')));
  for (std::string_view binary :
       {"application/x-protobuf", "application/protobuf", "application/vnd.google.protobuf"}) {
    if (absl::EqualsIgnoreCase(type, binary)) return Form::kBinary;
  }
  if (absl::EqualsIgnoreCase(type, "application/json") || absl::EndsWithIgnoreCase(type, "+json")) return Form::kJson;
  return Form::kUnknown;
}

std::string NameOf(const google::protobuf::Message& message) {
  return std::string(message.GetDescriptor()->full_name());
}

absl::Status CheckComplete(const google::protobuf::Message& message) {
  if (message.IsInitialized()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(NameOf(message), ": required fields are missing: ", message.InitializationErrorString()));
}

}  // namespace

absl::Status DecodeProtobuf(const Received& received, google::protobuf::Message& out) {
  const std::string_view type = received.content_type();
  const Form form = FormOf(type);
  if (form == Form::kUnknown) {
    return absl::UnimplementedError(
        absl::StrCat("content type ", absl::CHexEscape(type), " is neither protobuf's nor JSON, for ", NameOf(out)));
  }
  // Zero bytes are a message, all of whose fields have their defaults; none at all are not.
  if (received.null_payload()) {
    return absl::InvalidArgumentError(absl::StrCat("a null payload is no ", NameOf(out)));
  }
  const std::string_view payload = received.payload();
  if (form == Form::kJson) {
    if (absl::Status status = FromJson(payload, out); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(NameOf(out), ": ", absl::CHexEscape(status.message())));
    }
  } else if (payload.size() > std::numeric_limits<int>::max() ||
             !out.ParsePartialFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return absl::InvalidArgumentError(absl::StrCat("these bytes are no ", NameOf(out)));
  }
  return CheckComplete(out);
}

absl::Status EncodeProtobuf(const google::protobuf::Message& message, Message& out) {
  const Form form = FormOf(out.content_type);
  if (form == Form::kUnknown) {
    return absl::InvalidArgumentError(absl::StrCat(NameOf(message), " is sent as application/x-protobuf or ",
                                                   "application/json, not as ", absl::CHexEscape(out.content_type)));
  }
  if (absl::Status status = CheckComplete(message); !status.ok()) return status;
  if (form == Form::kJson) {
    absl::Status status = ToJson(message, out.payload);
    if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat(NameOf(message), ": ", status.message()));
    return status;
  }
  if (out.content_type.empty()) out.content_type = "application/x-protobuf";
  if (!message.SerializePartialToString(&out.payload)) {
    return absl::InvalidArgumentError(absl::StrCat(NameOf(message), " is too large for protobuf's binary form"));
  }
  return absl::OkStatus();
}

MessageSchema ProtobufSchema(const google::protobuf::Message& message) { return SchemaOf(*message.GetDescriptor()); }

}  // namespace internal
}  // namespace messaging
