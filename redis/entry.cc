#include "redis/entry.h"

#include <hiredis/hiredis.h>

#include <charconv>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"

namespace messaging::redis {
namespace {

std::string_view View(const redisReply& reply) {
  return reply.str == nullptr ? std::string_view() : std::string_view(reply.str, reply.len);
}

std::string Micros(absl::Time time) { return absl::StrCat(absl::ToUnixMicros(time)); }

absl::Time FromMicros(std::string_view text) {
  int64_t micros = 0;
  return absl::SimpleAtoi(text, &micros) ? absl::FromUnixMicros(micros) : absl::InfinitePast();
}

int ToInt(std::string_view text) {
  int value = 0;
  return absl::SimpleAtoi(text, &value) ? value : 0;
}

void AddMessage(const Message& message, Parts& parts) {
  ForEachField(message, Micros(message.timestamp),
               [&](std::string_view name, std::string_view value) { parts.Add(name, value); });
}

void AddFailure(const Failure& failure, Parts& parts) {
  parts.Add("r:handler", failure.handler);
  parts.Add("r:attempts", absl::StrCat(failure.attempts));
  parts.Add("r:first", Micros(failure.first));
  parts.Add("r:last", Micros(failure.last));
  parts.Add("r:code", absl::StrCat(static_cast<int>(failure.status.code())));
  parts.Add("r:error", failure.status.message());
}

// What another program wrote without a payload field: its fields as a JSON object. Of a name that repeats, the last.
std::string FieldsAsJson(const redisReply& fields) {
  nlohmann::json object = nlohmann::json::object();
  for (size_t i = 0; i + 1 < fields.elements; i += 2) {
    object[std::string(View(*fields.element[i]))] = std::string(View(*fields.element[i + 1]));
  }
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void ReadFields(const redisReply& fields, RedisRecord& record, bool& has_payload, bool& is_wake) {
  for (size_t i = 0; i + 1 < fields.elements; i += 2) {
    const std::string_view name = View(*fields.element[i]);
    const std::string_view value = View(*fields.element[i + 1]);
    if (name == "payload") {
      record.payload = value;
      has_payload = true;
    } else if (name == "id") {
      record.id = value;
    } else if (name == "time") {
      record.timestamp = FromMicros(value);
    } else if (name == "key") {
      record.key = value;
      record.has_key = true;
    } else if (name == "type") {
      record.content_type = value;
    } else if (name == "null") {
      record.null_payload = has_payload = true;
    } else if (name.starts_with("h:")) {
      record.header_views.push_back({name.substr(2), value});
    } else if (name == "r:handler") {
      record.handler = value;
    } else if (name == "r:attempts") {
      record.attempts = ToInt(value);
    } else if (name == "r:first") {
      record.first_failure = FromMicros(value);
    } else if (name == "r:error") {
      record.last_error = value;
    } else if (name == "r:suspect") {
      record.suspect = true;
    } else if (name == "wake") {
      is_wake = true;
    }
  }
}

}  // namespace

Parts CopyParts(const Record& record, const Copy& copy, std::string_view group, absl::Time since) {
  Parts parts;
  if (record.null_payload) {
    parts.Add("null", "");
  } else {
    parts.Add("payload", record.payload);
  }
  if (!record.id.empty()) parts.Add("id", record.id);
  parts.Add("time", Micros(record.timestamp));
  if (record.has_key) parts.Add("key", record.key);
  if (!record.content_type.empty()) parts.Add("type", record.content_type);
  for (const HeaderView& header : record.headers.subspan(0, kMaxHeaders)) {
    parts.Add(absl::StrCat("h:", header.name), header.value);
  }
  AddFailure(copy.failure, parts);
  if (copy.suspect) parts.Add("r:suspect", "1");
  if (copy.kind == Copy::Kind::kDeadLetter) {
    parts.Add("r:topic", record.topic);
    parts.Add("r:group", group);
    parts.Add("r:since", Micros(since));
  }
  return parts;
}

Parts DeadParts(const DeadLetter& letter) {
  Parts parts;
  AddMessage(letter.message, parts);
  AddFailure(letter.failure, parts);
  parts.Add("r:topic", letter.message.topic);
  parts.Add("r:group", letter.group);
  parts.Add("r:since", Micros(letter.dead_since));
  return parts;
}

Parts ReplayParts(const DeadLetter& letter) {
  Parts parts;
  AddMessage(letter.message, parts);
  parts.Add("r:handler", letter.failure.handler);
  return parts;
}

bool ReadEntry(const redisReply& entry, RedisRecord& record) {
  record.entry = View(*entry.element[0]);
  record.position = PositionOf(record.entry);
  bool has_payload = false;
  bool is_wake = false;
  const redisReply& fields = *entry.element[1];
  ReadFields(fields, record, has_payload, is_wake);
  record.headers = record.header_views;
  if (record.timestamp == absl::InfinitePast()) record.timestamp = TimeOfId(record.entry);
  if (has_payload) return true;
  if (record.is_retry && is_wake) return false;
  // Nothing of it is ours, whatever its fields are called.
  record.own = FieldsAsJson(fields);
  record.payload = record.own;
  record.content_type = "application/json";
  record.id = record.key = record.handler = record.last_error = {};
  record.has_key = record.suspect = false;
  record.attempts = 0;
  record.first_failure = absl::InfinitePast();
  record.headers = {};
  record.timestamp = TimeOfId(record.entry);
  return true;
}

DeadLetter ReadDeadLetter(const redisReply& entry) {
  RedisRecord record;
  ReadEntry(entry, record);
  DeadLetter letter;
  letter.id = record.entry;
  Message& message = letter.message;
  message.payload = record.payload;
  message.null_payload = record.null_payload;
  if (record.has_key) message.key = record.key;
  for (const HeaderView& header : record.headers) message.headers.emplace_back(header.name, header.value);
  message.content_type = record.content_type;
  message.id = record.id;
  message.timestamp = record.timestamp;
  letter.failure.handler = record.handler;
  letter.failure.attempts = record.attempts;
  letter.failure.first = record.first_failure;
  letter.dead_since = TimeOfId(record.entry);
  int code = 0;
  const redisReply& fields = *entry.element[1];
  for (size_t i = 0; i + 1 < fields.elements; i += 2) {
    const std::string_view name = View(*fields.element[i]);
    const std::string_view value = View(*fields.element[i + 1]);
    if (name == "r:topic") message.topic = value;
    if (name == "r:group") letter.group = value;
    if (name == "r:since") letter.dead_since = FromMicros(value);
    if (name == "r:last") letter.failure.last = FromMicros(value);
    if (name == "r:code") code = ToInt(value);
  }
  letter.failure.status = absl::Status(static_cast<absl::StatusCode>(code), record.last_error);
  return letter;
}

absl::Time TimeOfId(std::string_view id) {
  int64_t milliseconds = 0;
  return absl::SimpleAtoi(id.substr(0, id.find('-')), &milliseconds) ? absl::FromUnixMillis(milliseconds)
                                                                     : absl::InfinitePast();
}

int64_t PositionOf(std::string_view id) {
  constexpr int kNumberBits = 21;
  int64_t milliseconds = 0;
  int64_t number = 0;
  const char* const end = id.data() + id.size();
  const auto [dash, error] = std::from_chars(id.data(), end, milliseconds);
  if (error != std::errc() || dash == end || *dash != '-') return -1;
  const auto [last, number_error] = std::from_chars(dash + 1, end, number);
  if (number_error != std::errc() || last != end || milliseconds < 0 || number < 0 ||
      milliseconds >= int64_t{1} << (63 - kNumberBits) || number >= int64_t{1} << kNumberBits) {
    return -1;
  }
  return milliseconds << kNumberBits | number;
}

}  // namespace messaging::redis
