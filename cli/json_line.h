// Messages as one line of JSON each, for other programs to read.
#ifndef CLI_JSON_LINE_H_
#define CLI_JSON_LINE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "messaging/received.h"
#include "messaging/record.h"

namespace messaging::cli {

// One object, its members in the order of the calls.
class JsonLine {
 public:
  // Any bytes: a member `name`; when they are no UTF-8 `name`_base64 instead.
  JsonLine& Text(std::string_view name, std::string_view bytes);
  JsonLine& Number(std::string_view name, int64_t number);
  JsonLine& Bool(std::string_view name, bool value);
  // RFC 3339 in UTC, as "2026-01-31T23:59:59.123Z"; InfinitePast: no member.
  JsonLine& Time(std::string_view name, absl::Time time);
  JsonLine& Texts(std::string_view name, const std::vector<std::string>& values);
  // "headers": [{"name": N, "value": V}, ...], each with _base64 where it is no UTF-8. None: no member.
  JsonLine& Headers(absl::Span<const HeaderView> headers);
  // The same under another name; nothing is left out for none.
  JsonLine& Pairs(std::string_view name, absl::Span<const HeaderView> pairs);
  // "payload": the JSON value, to the digit as it was sent, when it is JSON; else "payload_text" when it is UTF-8; else
  // "payload_base64".
  JsonLine& Payload(std::string_view payload);
  // With the line's end.
  std::string Finish() &&;

 private:
  void Name(std::string_view name);
  std::string line_ = "{";
};

// What `core consumer` prints: topic, key, id, headers, timestamp, content_type, partition and position where there are
// any, payload; "null_payload": true instead of a payload for a tombstone.
std::string MessageLine(const Received& received);

}  // namespace messaging::cli

#endif  // CLI_JSON_LINE_H_
