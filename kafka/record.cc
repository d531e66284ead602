#include "kafka/record.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace messaging::kafka {
namespace {

constexpr std::string_view kOwn = "messaging-";

std::string Micros(absl::Time time) { return absl::StrCat(absl::ToUnixMicros(time)); }

absl::Time FromMicros(std::string_view text) {
  int64_t micros = 0;
  return absl::SimpleAtoi(text, &micros) ? absl::FromUnixMicros(micros) : absl::InfinitePast();
}

int ToInt(std::string_view text) {
  int value = 0;
  return absl::SimpleAtoi(text, &value) ? value : 0;
}

template <typename Visit>
void ForEachHeader(const rd_kafka_message_t& message, Visit visit) {
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
    visit(std::string_view(name),
          value == nullptr ? std::string_view() : std::string_view(static_cast<const char*>(value), size));
  }
}

// What the library says of a message's identity; the rest of its own headers are for retries and dead letters.
void LoadMetadata(Record& record) {
  auto& own = static_cast<KafkaRecord&>(record);
  ForEachHeader(*own.message, [&](std::string_view name, std::string_view value) {
    if (!absl::StartsWith(name, kOwn)) {
      own.header_views.push_back({name, value});
    } else if (name == kIdHeader) {
      own.id = value;
    } else if (name == kTypeHeader) {
      own.content_type = value;
    }
  });
  own.headers = own.header_views;
}

void ReadRetry(KafkaRecord& record) {
  LoadMetadata(record);
  record.load_metadata = nullptr;
  record.timestamp = absl::InfinitePast();
  ForEachHeader(*record.message, [&](std::string_view name, std::string_view value) {
    if (name == "messaging-handler") {
      record.handler = value;
    } else if (name == "messaging-attempts") {
      record.attempts = ToInt(value);
    } else if (name == "messaging-first") {
      record.first_failure = FromMicros(value);
    } else if (name == "messaging-error") {
      record.last_error = value;
    } else if (name == "messaging-suspect") {
      record.suspect = true;
    } else if (name == "messaging-time") {
      record.timestamp = FromMicros(value);
    }
  });
  if (record.timestamp == absl::InfinitePast()) record.timestamp = TimeOf(*record.message);
}

void AddFailure(const Failure& failure, absl::Time time, Message& message) {
  auto add = [&message](const char* name, std::string value) { message.headers.emplace_back(name, std::move(value)); };
  add("messaging-time", Micros(time));
  add("messaging-handler", failure.handler);
  add("messaging-attempts", absl::StrCat(failure.attempts));
  if (failure.first != absl::InfinitePast()) add("messaging-first", Micros(failure.first));
  if (failure.last != absl::InfinitePast()) add("messaging-last", Micros(failure.last));
  add("messaging-code", absl::StrCat(static_cast<int>(failure.status.code())));
  add("messaging-error", std::string(failure.status.message()));
}

// The record of a dead letter has a key of its own, and a payload: without one it would be a tombstone.
void Bury(std::string key, const std::string& group, absl::Time since, Message& message) {
  if (message.key) message.headers.emplace_back("messaging-key", *message.key);
  if (message.null_payload) message.headers.emplace_back("messaging-null", "");
  message.key = std::move(key);
  message.null_payload = false;
  message.headers.emplace_back("messaging-group", group);
  message.headers.emplace_back("messaging-since", Micros(since));
}

}  // namespace

std::string_view PayloadOf(const rd_kafka_message_t& message) {
  return message.payload == nullptr ? std::string_view()
                                    : std::string_view(static_cast<const char*>(message.payload), message.len);
}

std::string_view KeyOf(const rd_kafka_message_t& message) {
  return message.key == nullptr ? std::string_view()
                                : std::string_view(static_cast<const char*>(message.key), message.key_len);
}

absl::Time TimeOf(const rd_kafka_message_t& message) {
  rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  const int64_t milliseconds = rd_kafka_message_timestamp(&message, &type);
  return type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? absl::InfinitePast() : absl::FromUnixMillis(milliseconds);
}

void ReadMessage(KafkaRecord& record, bool retry) {
  const rd_kafka_message_t& message = *record.message;
  record.payload = PayloadOf(message);
  record.null_payload = message.payload == nullptr;
  record.key = KeyOf(message);
  record.has_key = message.key != nullptr;
  record.partition = message.partition;
  record.position = message.offset;
  record.timestamp = TimeOf(message);
  record.load_metadata = LoadMetadata;
  if (retry) ReadRetry(record);
}

absl::Time DueOf(const rd_kafka_message_t& message) {
  absl::Time due = absl::InfinitePast();
  ForEachHeader(message, [&](std::string_view name, std::string_view value) {
    if (name == "messaging-due") due = FromMicros(value);
  });
  return due;
}

Message CopyMessage(Record& record, const Copy& copy, const std::string& group, std::string place, std::string key,
                    absl::Time now) {
  record.LoadMetadata();
  Message message;
  message.topic = std::move(place);
  message.payload = record.payload;
  message.null_payload = record.null_payload;
  if (record.has_key) message.key = record.key;
  for (const HeaderView& header : record.headers) message.headers.emplace_back(header.name, header.value);
  message.content_type = record.content_type;
  message.id = record.id;
  message.timestamp = now;  // Retention counts from here, not from when the original was sent.
  message.headers.emplace_back("messaging-topic", record.topic);
  AddFailure(copy.failure, record.timestamp, message);
  if (copy.suspect) message.headers.emplace_back("messaging-suspect", "1");
  if (copy.kind == Copy::Kind::kRetry) {
    if (copy.delay > absl::ZeroDuration()) message.headers.emplace_back("messaging-due", Micros(now + copy.delay));
  } else {
    Bury(std::move(key), group, now, message);
  }
  return message;
}

Message DeadMessage(const DeadLetter& letter, std::string place, std::string key) {
  Message message = letter.message;
  message.headers.emplace_back("messaging-topic", message.topic);
  message.topic = std::move(place);
  AddFailure(letter.failure, message.timestamp, message);
  Bury(std::move(key), letter.group, letter.dead_since, message);
  message.timestamp = absl::InfinitePast();
  return message;
}

Message ReplayMessage(const DeadLetter& letter, std::string place) {
  Message message = letter.message;
  message.headers.emplace_back("messaging-topic", message.topic);
  message.headers.emplace_back("messaging-handler", letter.failure.handler);
  message.headers.emplace_back("messaging-time", Micros(message.timestamp));
  message.topic = std::move(place);
  message.timestamp = absl::InfinitePast();
  return message;
}

DeadLetter ReadDeadLetter(const rd_kafka_message_t& record) {
  DeadLetter letter;
  letter.id = KeyOf(record);
  letter.dead_since = TimeOf(record);
  Message& message = letter.message;
  message.payload = PayloadOf(record);
  int code = 0;
  std::string_view error;
  ForEachHeader(record, [&](std::string_view name, std::string_view value) {
    if (!absl::StartsWith(name, kOwn)) {
      message.headers.emplace_back(name, value);
    } else if (name == kIdHeader) {
      message.id = value;
    } else if (name == kTypeHeader) {
      message.content_type = value;
    } else if (name == "messaging-topic") {
      message.topic = value;
    } else if (name == "messaging-group") {
      letter.group = value;
    } else if (name == "messaging-key") {
      message.key = value;
    } else if (name == "messaging-null") {
      message.null_payload = true;
    } else if (name == "messaging-time") {
      message.timestamp = FromMicros(value);
    } else if (name == "messaging-handler") {
      letter.failure.handler = value;
    } else if (name == "messaging-attempts") {
      letter.failure.attempts = ToInt(value);
    } else if (name == "messaging-first") {
      letter.failure.first = FromMicros(value);
    } else if (name == "messaging-last") {
      letter.failure.last = FromMicros(value);
    } else if (name == "messaging-code") {
      code = ToInt(value);
    } else if (name == "messaging-error") {
      error = value;
    } else if (name == "messaging-since") {
      letter.dead_since = FromMicros(value);
    }
  });
  letter.failure.status = absl::Status(static_cast<absl::StatusCode>(code), error);
  return letter;
}

}  // namespace messaging::kafka
