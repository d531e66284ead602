#include "cli/dead_letter_line.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/json_line.h"
#include "cli/text.h"
#include "messaging/message.h"
#include "nlohmann/json.hpp"

namespace messaging::cli {
namespace {

using Json = nlohmann::json;

constexpr char kExactTime[] = "%Y-%m-%d%ET%H:%M:%E*SZ";

std::vector<HeaderView> Views(const std::vector<Header>& headers) {
  std::vector<HeaderView> views;
  for (const Header& header : headers) views.push_back({header.first, header.second});
  return views;
}

void ExactTime(JsonLine& line, std::string_view name, absl::Time time) {
  if (time != absl::InfinitePast()) line.Text(name, absl::FormatTime(kExactTime, time, absl::UTCTimeZone()));
}

absl::Status Wrong(std::string_view name, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" ", what));
}

// A member NAME or NAME_base64, where there is one.
absl::Status ReadBytes(const Json& object, const std::string& name, std::optional<std::string>& to) {
  const auto text = object.find(name);
  const auto encoded = object.find(name + "_base64");
  if (text != object.end()) {
    if (!text->is_string()) return Wrong(name, "is not text");
    to = text->get<std::string>();
  } else if (encoded != object.end()) {
    if (!encoded->is_string() || !absl::Base64Unescape(encoded->get<std::string>(), &to.emplace())) {
      return Wrong(name + "_base64", "is not base64");
    }
  }
  return absl::OkStatus();
}

absl::Status ReadText(const Json& object, const std::string& name, bool required, std::string& to) {
  std::optional<std::string> text;
  if (absl::Status status = ReadBytes(object, name, text); !status.ok()) return status;
  if (!text && required) return Wrong(name, "is missing");
  to = std::move(text).value_or("");
  return absl::OkStatus();
}

absl::Status ReadTime(const Json& object, const std::string& name, absl::Time& to) {
  std::string text, error;
  if (absl::Status status = ReadText(object, name, false, text); !status.ok()) return status;
  if (!text.empty() && !absl::ParseTime(absl::RFC3339_full, text, &to, &error)) {
    return Wrong(name, "is no time as 2026-01-31T23:59:59.123Z");
  }
  return absl::OkStatus();
}

absl::Status ReadNumber(const Json& object, const std::string& name, int& to) {
  const auto number = object.find(name);
  if (number == object.end() || !number->is_number_integer()) return Wrong(name, "is not a number");
  to = number->get<int>();
  return absl::OkStatus();
}

absl::Status ReadHeaders(const Json& object, std::vector<Header>& to) {
  const auto headers = object.find("headers");
  if (headers == object.end()) return absl::OkStatus();
  if (!headers->is_array()) return Wrong("headers", "is not a list");
  for (const Json& header : *headers) {
    if (!header.is_object()) return Wrong("headers", "holds something else than {\"name\": N, \"value\": V}");
    auto& [name, value] = to.emplace_back();
    absl::Status status = ReadText(header, "name", true, name);
    status.Update(ReadText(header, "value", true, value));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ReadPayload(const Json& object, Message& message) {
  if (object.contains("payload")) {
    return Wrong("payload", "is a line of list or show, which is not to the byte: import what export wrote");
  }
  const auto none = object.find("null_payload");
  message.null_payload = none != object.end() && *none == true;
  if (message.null_payload) return absl::OkStatus();
  std::optional<std::string> bytes;
  absl::Status status = ReadBytes(object, "payload_text", bytes);
  if (!bytes) status.Update(ReadBytes(object, "payload", bytes));  // As payload_base64.
  if (status.ok() && !bytes) status = Wrong("payload_text", "is missing");
  message.payload = std::move(bytes).value_or("");
  return status;
}

}  // namespace

std::string Why(const Failure& failure) { return failure.status.ToString(absl::StatusToStringMode::kWithNoExtraData); }

std::string DeadLetterLine(const DeadLetter& letter) {
  const Message& message = letter.message;
  JsonLine line;
  line.Text("id", letter.id).Text("group", letter.group).Text("handler", letter.failure.handler);
  line.Number("attempts", letter.failure.attempts).Text("reason", Why(letter.failure));
  line.Time("first_failure", letter.failure.first).Time("last_failure", letter.failure.last);
  line.Time("dead_since", letter.dead_since).Text("topic", message.topic);
  if (message.key) line.Text("key", *message.key);
  line.Text("message_id", message.id).Headers(Views(message.headers)).Time("timestamp", message.timestamp);
  if (!message.content_type.empty()) line.Text("content_type", message.content_type);
  if (message.null_payload) {
    line.Bool("null_payload", true);
  } else {
    line.Payload(message.payload);
  }
  return std::move(line).Finish();
}

std::string ExportLine(const DeadLetter& letter) {
  const Message& message = letter.message;
  const Failure& failure = letter.failure;
  JsonLine line;
  line.Text("id", letter.id).Text("group", letter.group).Text("handler", failure.handler);
  line.Number("attempts", failure.attempts).Number("code", failure.status.raw_code());
  line.Text("error", failure.status.message());
  ExactTime(line, "first_failure", failure.first);
  ExactTime(line, "last_failure", failure.last);
  ExactTime(line, "dead_since", letter.dead_since);
  line.Text("topic", message.topic);
  if (message.key) line.Text("key", *message.key);
  line.Text("message_id", message.id).Headers(Views(message.headers));
  ExactTime(line, "timestamp", message.timestamp);
  if (!message.content_type.empty()) line.Text("content_type", message.content_type);
  if (message.null_payload) {
    line.Bool("null_payload", true);
  } else {
    line.Text(IsUtf8(message.payload) ? "payload_text" : "payload", message.payload);
  }
  return std::move(line).Finish();
}

absl::StatusOr<DeadLetter> ReadExportLine(std::string_view line) {
  const Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return absl::InvalidArgumentError("not a JSON object");
  DeadLetter letter;
  Failure& failure = letter.failure;
  Message& message = letter.message;
  int code = 0;
  std::string error;
  absl::Status status = ReadText(object, "group", true, letter.group);
  status.Update(ReadText(object, "handler", true, failure.handler));
  status.Update(ReadNumber(object, "attempts", failure.attempts));
  status.Update(ReadNumber(object, "code", code));
  status.Update(ReadText(object, "error", true, error));
  status.Update(ReadTime(object, "first_failure", failure.first));
  status.Update(ReadTime(object, "last_failure", failure.last));
  letter.dead_since = absl::Now();
  status.Update(ReadTime(object, "dead_since", letter.dead_since));
  status.Update(ReadText(object, "topic", true, message.topic));
  status.Update(ReadBytes(object, "key", message.key));
  status.Update(ReadText(object, "message_id", false, message.id));
  status.Update(ReadHeaders(object, message.headers));
  status.Update(ReadTime(object, "timestamp", message.timestamp));
  status.Update(ReadText(object, "content_type", false, message.content_type));
  status.Update(ReadPayload(object, message));
  if (status.ok() && !IsValidTopic(message.topic)) status = Wrong("topic", "is not [A-Za-z0-9._-]{1,120}");
  if (status.ok() && !IsValidTopic(letter.group)) status = Wrong("group", "is not [A-Za-z0-9._-]{1,120}");
  if (status.ok() && code == 0) status = Wrong("code", "is 0, which is no failure");
  if (!status.ok()) return status;
  failure.status = absl::Status(static_cast<absl::StatusCode>(code), error);
  return letter;
}

}  // namespace messaging::cli
