#include "cli/json_line.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "cli/json_check.h"
#include "cli/text.h"
#include "nlohmann/json.hpp"

namespace messaging::cli {
namespace {

std::string Quoted(std::string_view utf8) { return nlohmann::json(utf8).dump(); }

}  // namespace

void JsonLine::Name(std::string_view name) { absl::StrAppend(&line_, line_.size() > 1 ? "," : "", Quoted(name), ":"); }

JsonLine& JsonLine::Text(std::string_view name, std::string_view bytes) {
  if (IsUtf8(bytes)) {
    Name(name);
    line_ += Quoted(bytes);
  } else {
    Name(absl::StrCat(name, "_base64"));
    line_ += Quoted(absl::Base64Escape(bytes));
  }
  return *this;
}

JsonLine& JsonLine::Number(std::string_view name, int64_t number) {
  Name(name);
  absl::StrAppend(&line_, number);
  return *this;
}

JsonLine& JsonLine::Bool(std::string_view name, bool value) {
  Name(name);
  line_ += value ? "true" : "false";
  return *this;
}

JsonLine& JsonLine::Time(std::string_view name, absl::Time time) {
  if (time == absl::InfinitePast() || time == absl::InfiniteFuture()) return *this;
  return Text(name, absl::FormatTime("%Y-%m-%d%ET%H:%M:%E3SZ", time, absl::UTCTimeZone()));
}

JsonLine& JsonLine::Texts(std::string_view name, const std::vector<std::string>& values) {
  Name(name);
  line_ += '[';
  for (const std::string& value : values) {
    absl::StrAppend(&line_, line_.back() == '[' ? "" : ",",
                    Quoted(IsUtf8(value) ? value : OneLine(value, value.size())));
  }
  line_ += ']';
  return *this;
}

JsonLine& JsonLine::Headers(absl::Span<const HeaderView> headers) {
  return headers.empty() ? *this : Pairs("headers", headers);
}

JsonLine& JsonLine::Pairs(std::string_view name, absl::Span<const HeaderView> pairs) {
  Name(name);
  line_ += '[';
  for (const HeaderView& header : pairs) {
    JsonLine one;
    one.Text("name", header.name).Text("value", header.value);
    absl::StrAppend(&line_, line_.back() == '[' ? "" : ",", one.line_, "}");
  }
  line_ += ']';
  return *this;
}

JsonLine& JsonLine::Payload(std::string_view payload) {
  if (!CheckJson(payload).ok()) {
    if (!IsUtf8(payload)) return Text("payload", payload);  // As payload_base64.
    return Text("payload_text", payload);
  }
  Name("payload");
  const size_t start = line_.size();
  line_ += payload;
  for (size_t i = start; i < line_.size(); ++i) {  // Between tokens; within a string they would not be JSON.
    if (line_[i] == '\n' || line_[i] == '\r') line_[i] = ' ';
  }
  return *this;
}

std::string JsonLine::Finish() && {
  line_ += "}\n";
  return std::move(line_);
}

std::string MessageLine(const Received& received) {
  JsonLine line;
  line.Text("topic", received.topic());
  if (received.key()) line.Text("key", *received.key());
  if (!received.id().empty()) line.Text("id", received.id());
  line.Headers(received.headers()).Time("timestamp", received.timestamp());
  if (!received.content_type().empty()) line.Text("content_type", received.content_type());
  if (received.partition() >= 0) line.Number("partition", received.partition());
  if (received.position() >= 0) line.Number("position", received.position());
  if (received.null_payload()) {
    line.Bool("null_payload", true);
  } else {
    line.Payload(received.payload());
  }
  return std::move(line).Finish();
}

}  // namespace messaging::cli
