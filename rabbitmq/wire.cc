#include "rabbitmq/wire.h"

#include <openssl/evp.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "rabbitmq/connection.h"

namespace messaging::rabbitmq {
namespace {

constexpr std::string_view kOurs = "messaging-";
constexpr std::string_view kKept = "messaging-kept-";
constexpr size_t kShort = 255;  // Bytes of AMQP's short strings and of headers' names.

// What the server reads or writes itself: none of it is published as it came.
bool IsServers(std::string_view name) {
  return name == "CC" || name == "BCC" || name == "x-death" || absl::StartsWith(name, "x-first-death-") ||
         absl::StartsWith(name, "x-last-death-") || name == "x-delivery-count" || name == "x-acquired-count" ||
         name == "x-stream-offset" || name == "x-received-from";
}

// Changes with each delivery: it is nobody's header.
bool IsCounter(std::string_view name) {
  return name == "x-delivery-count" || name == "x-acquired-count" || name == "x-stream-offset";
}

// Ours, about one copy: another copy has its own.
bool IsOfCopy(std::string_view name) {
  for (const std::string_view each :
       {"handler", "attempts", "first", "last", "code", "error", "suspect", "copy", "topic", "group", "since"}) {
    if (absl::StartsWith(name, kOurs) && name.substr(kOurs.size()) == each) return true;
  }
  return false;
}

bool IsText(const amqp_field_value_t& value) {
  return value.kind == AMQP_FIELD_KIND_UTF8 || value.kind == AMQP_FIELD_KIND_BYTES;
}

int64_t Number(const amqp_field_value_t& value) {
  switch (value.kind) {
    case AMQP_FIELD_KIND_BOOLEAN:
      return value.value.boolean;
    case AMQP_FIELD_KIND_I8:
      return value.value.i8;
    case AMQP_FIELD_KIND_U8:
      return value.value.u8;
    case AMQP_FIELD_KIND_I16:
      return value.value.i16;
    case AMQP_FIELD_KIND_U16:
      return value.value.u16;
    case AMQP_FIELD_KIND_I32:
      return value.value.i32;
    case AMQP_FIELD_KIND_U32:
      return value.value.u32;
    case AMQP_FIELD_KIND_I64:
      return value.value.i64;
    case AMQP_FIELD_KIND_U64:
    case AMQP_FIELD_KIND_TIMESTAMP:
      return static_cast<int64_t>(value.value.u64);
    default:
      return 0;
  }
}

nlohmann::json Json(const amqp_field_value_t& value) {
  switch (value.kind) {
    case AMQP_FIELD_KIND_BOOLEAN:
      return value.value.boolean != 0;
    case AMQP_FIELD_KIND_F32:
      return value.value.f32;
    case AMQP_FIELD_KIND_F64:
      return value.value.f64;
    case AMQP_FIELD_KIND_DECIMAL:
      return absl::StrCat(value.value.decimal.value, "e-", value.value.decimal.decimals);
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
      return std::string(View(value.value.bytes));
    case AMQP_FIELD_KIND_VOID:
      return nullptr;
    case AMQP_FIELD_KIND_TABLE: {
      nlohmann::json object = nlohmann::json::object();
      for (int i = 0; i < value.value.table.num_entries; ++i) {
        object[std::string(View(value.value.table.entries[i].key))] = Json(value.value.table.entries[i].value);
      }
      return object;
    }
    case AMQP_FIELD_KIND_ARRAY: {
      nlohmann::json array = nlohmann::json::array();
      for (int i = 0; i < value.value.array.num_entries; ++i) array.push_back(Json(value.value.array.entries[i]));
      return array;
    }
    default:
      return Number(value);
  }
}

// A header that is no text, for handlers.
std::string AsText(const amqp_field_value_t& value) {
  if (value.kind == AMQP_FIELD_KIND_VOID) return "";
  const nlohmann::json json = Json(value);
  if (json.is_string()) return json.get<std::string>();
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

absl::Time FromMicros(int64_t micros) { return absl::FromUnixMicros(micros); }

// Reads one header of ours. `moved` gives a view that stays.
template <typename Moved>
void ReadOurs(std::string_view name, const amqp_field_value_t& value, RabbitRecord& record, Moved moved) {
  const std::string_view text = IsText(value) ? moved(value.value.bytes) : std::string_view();
  if (name == "key") {
    record.key = text;
    record.has_key = true;
  } else if (name == "null") {
    record.null_payload = true;
  } else if (name == "time") {
    record.timestamp = FromMicros(Number(value));
  } else if (name == "id") {
    record.id = text;
  } else if (name == "type") {
    record.content_type = text;
  } else if (name == "handler") {
    record.handler = text;
  } else if (name == "attempts") {
    record.attempts = static_cast<int>(std::clamp<int64_t>(Number(value), 0, 1 << 30));
  } else if (name == "first") {
    record.first_failure = FromMicros(Number(value));
  } else if (name == "error") {
    record.last_error = text;
  } else if (name == "suspect") {
    record.suspect = true;
  } else if (name == "copy") {
    record.copy = text;
  }
}

template <typename Moved>
void ReadHeaders(const amqp_table_t& table, RabbitRecord& record, Moved moved) {
  const amqp_array_t* ordered = nullptr;
  for (int i = 0; i < table.num_entries; ++i) {
    const std::string_view name = View(table.entries[i].key);
    if (name == "messaging-attempts") record.is_copy = true;
    if (name == "messaging-headers" && table.entries[i].value.kind == AMQP_FIELD_KIND_ARRAY) {
      ordered = &table.entries[i].value.value.array;
    }
  }
  auto show = [&](std::string_view name, const amqp_field_value_t& value) {
    if (IsText(value)) {
      record.header_views.push_back({name, moved(value.value.bytes)});
    } else {
      record.header_views.push_back({name, record.own.emplace_back(AsText(value))});
    }
  };
  for (int i = 0; i < table.num_entries; ++i) {
    const amqp_field_value_t& value = table.entries[i].value;
    std::string_view name = moved(table.entries[i].key);
    if (IsCounter(name)) {
      // The newer server's counts every delivery, the older's may leave out some.
      if (name == "x-acquired-count" || (name == "x-delivery-count" && record.deliveries == 0)) {
        record.deliveries = static_cast<uint32_t>(Number(value));
      }
    } else if (absl::ConsumePrefix(&name, kKept)) {
      show(name, value);
    } else if (absl::ConsumePrefix(&name, kOurs)) {
      ReadOurs(name, value, record, moved);
    } else if (ordered == nullptr && (!IsServers(name) || !record.is_copy)) {
      show(name, value);
    }
  }
  for (int i = 0; ordered != nullptr && i + 1 < ordered->num_entries; i += 2) {
    if (!IsText(ordered->entries[i]) || !IsText(ordered->entries[i + 1])) continue;
    record.header_views.push_back({moved(ordered->entries[i].value.bytes), moved(ordered->entries[i + 1].value.bytes)});
  }
}

// Decodes them again, of a record that is to be copied.
const amqp_basic_properties_t& Decode(const RabbitRecord& record, amqp_pool_t& pool) {
  static const amqp_basic_properties_t none = {};
  void* decoded = nullptr;
  const amqp_bytes_t raw = Bytes(std::string_view(record.bytes).substr(0, record.properties_size));
  if (amqp_decode_properties(AMQP_BASIC_CLASS, &pool, raw, &decoded) < 0) return none;
  return *static_cast<amqp_basic_properties_t*>(decoded);
}

}  // namespace

void ReadProperties(const amqp_basic_properties_t& properties, amqp_bytes_t raw, uint64_t body_size,
                    RabbitRecord& record) {
  record.bytes.reserve(raw.len + body_size);  // It does not move when the body comes.
  record.bytes.assign(View(raw));
  record.properties_size = raw.len;
  const char* const from = static_cast<const char*>(raw.bytes);
  auto moved = [&](const amqp_bytes_t& bytes) -> std::string_view {
    if (bytes.len == 0) return {};
    return std::string_view(record.bytes)
        .substr(static_cast<size_t>(static_cast<const char*>(bytes.bytes) - from), bytes.len);
  };
  const amqp_flags_t flags = properties._flags;
  if (flags & AMQP_BASIC_MESSAGE_ID_FLAG) record.id = moved(properties.message_id);
  if (flags & AMQP_BASIC_CONTENT_TYPE_FLAG) record.content_type = moved(properties.content_type);
  if (flags & AMQP_BASIC_TIMESTAMP_FLAG) {
    record.timestamp =
        absl::FromUnixSeconds(static_cast<int64_t>(std::min<uint64_t>(properties.timestamp, uint64_t{1} << 40)));
  }
  if (flags & AMQP_BASIC_HEADERS_FLAG) ReadHeaders(properties.headers, record, moved);
  if (record.timestamp == absl::InfinitePast()) record.timestamp = absl::Now();
  record.headers = record.header_views;
}

DeadLetter ReadDeadLetter(const RabbitRecord& record) {
  DeadLetter letter;
  letter.id = record.copy;
  Message& message = letter.message;
  message.topic = record.topic;
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
  letter.dead_since = record.arrived;
  int code = static_cast<int>(absl::StatusCode::kUnknown);
  amqp_pool_t pool;
  init_amqp_pool(&pool, 1'024);
  const amqp_table_t& table = Decode(record, pool).headers;
  for (int i = 0; i < table.num_entries; ++i) {
    const amqp_field_value_t& value = table.entries[i].value;
    const std::string_view name = View(table.entries[i].key);
    if (name == "messaging-topic" && IsText(value)) message.topic = View(value.value.bytes);
    if (name == "messaging-group" && IsText(value)) letter.group = View(value.value.bytes);
    if (name == "messaging-since") letter.dead_since = FromMicros(Number(value));
    if (name == "messaging-last") letter.failure.last = FromMicros(Number(value));
    if (name == "messaging-code") code = static_cast<int>(Number(value));
  }
  empty_amqp_pool(&pool);
  letter.failure.status = absl::Status(static_cast<absl::StatusCode>(code), record.last_error);
  return letter;
}

std::string IdentityOf(const RabbitRecord& record) {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  for (const std::string_view part : {record.id, record.key, record.handler, record.copy, record.payload}) {
    const uint64_t size = part.size();
    EVP_DigestUpdate(context.get(), &size, sizeof(size));
    EVP_DigestUpdate(context.get(), part.data(), part.size());
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(context.get(), digest, &size);
  return std::string(reinterpret_cast<const char*>(digest), 16);
}

Encoded::Encoded(const Message& message) : Encoded() {
  body = message.payload;
  AddMessage(message);
}

Encoded::Encoded(const RabbitRecord& record, const Copy& copy, std::string_view group) : Encoded() {
  body = record.payload;
  AddRecord(record);
  AddFailure(copy.failure);
  AddCopyName();
  if (copy.suspect) AddFlag("messaging-suspect");
  if (group.empty()) return;
  AddText("messaging-topic", record.topic);
  AddText("messaging-group", group);
  AddTime("messaging-since", absl::Now());
}

Encoded::Encoded(const DeadLetter& letter) : Encoded() {
  body = letter.message.payload;
  AddMessage(letter.message);
  AddFailure(letter.failure);
  AddCopyName();
  AddText("messaging-topic", letter.message.topic);
  AddText("messaging-group", letter.group);
  AddTime("messaging-since", letter.dead_since);
}

std::unique_ptr<Encoded> Encoded::Replay(const RabbitRecord& record) {
  auto encoded = std::make_unique<Encoded>();
  encoded->body = record.payload;
  encoded->AddRecord(record);
  encoded->AddText("messaging-handler", record.handler);
  encoded->AddNumber("messaging-attempts", 0);
  encoded->AddCopyName();
  return encoded;
}

std::unique_ptr<Encoded> Encoded::Plain(std::string_view body) {
  auto encoded = std::make_unique<Encoded>();
  encoded->body = body;
  encoded->properties_._flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
  encoded->properties_.delivery_mode = AMQP_DELIVERY_PERSISTENT;
  return encoded;
}

void Encoded::set_expiration(absl::Duration after) {
  const int64_t left = absl::ToInt64Milliseconds(absl::Ceil(after, absl::Milliseconds(1)));
  expiration_ = absl::StrCat(std::max<int64_t>(left, 1));
  properties_._flags |= AMQP_BASIC_EXPIRATION_FLAG;
  properties_.expiration = Bytes(expiration_);
}

const amqp_basic_properties_t& Encoded::properties() {
  if (!entries_.empty()) {
    properties_._flags |= AMQP_BASIC_HEADERS_FLAG;
    properties_.headers = {.num_entries = static_cast<int>(entries_.size()), .entries = entries_.data()};
  }
  return properties_;
}

size_t Encoded::properties_size() const {
  size_t size = 64;
  auto add = [&size](const amqp_field_value_t& value) { size += 13 + (IsText(value) ? value.value.bytes.len : 0); };
  for (const amqp_table_entry_t& entry : entries_) {
    size += entry.key.len + 1;
    add(entry.value);
  }
  for (const amqp_field_value_t& value : list_) add(value);
  return size;
}

std::string_view Encoded::Own(std::string text) { return own_.emplace_back(std::move(text)); }

void Encoded::AddText(std::string_view name, std::string_view value) {
  entries_.push_back({.key = Bytes(name), .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = Bytes(value)}}});
}

void Encoded::AddNumber(std::string_view name, int64_t value) {
  entries_.push_back({.key = Bytes(name), .value = {.kind = AMQP_FIELD_KIND_I64, .value = {.i64 = value}}});
}

void Encoded::AddFlag(std::string_view name) {
  entries_.push_back({.key = Bytes(name), .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value = {.boolean = 1}}});
}

void Encoded::AddTime(std::string_view name, absl::Time time) { AddNumber(name, absl::ToUnixMicros(time)); }

void Encoded::SetShort(amqp_flags_t flag, amqp_bytes_t& field, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  if (value.size() > kShort) return AddText(name, value);
  properties_._flags |= flag;
  field = Bytes(value);
}

void Encoded::AddMessage(const Message& message) {
  properties_._flags |= AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_TIMESTAMP_FLAG;
  properties_.delivery_mode = AMQP_DELIVERY_PERSISTENT;
  properties_.timestamp = static_cast<uint64_t>(std::max<int64_t>(absl::ToUnixSeconds(message.timestamp), 0));
  SetShort(AMQP_BASIC_CONTENT_TYPE_FLAG, properties_.content_type, "messaging-type", message.content_type);
  SetShort(AMQP_BASIC_MESSAGE_ID_FLAG, properties_.message_id, "messaging-id", message.id);
  entries_.reserve(message.headers.size() + 4);
  AddTime("messaging-time", message.timestamp);
  if (message.key) AddText("messaging-key", *message.key);
  if (message.null_payload) AddFlag("messaging-null");
  AddHeaders(message.headers);
}

void Encoded::AddHeaders(const std::vector<Header>& headers) {
  bool plain = true;  // A table says it all.
  for (size_t i = 0; i < headers.size(); ++i) {
    const std::string& name = headers[i].first;
    const bool sorted = i == 0 || headers[i - 1].first < name;
    if (!sorted || name.size() > kShort || IsServers(name)) plain = false;
    const bool seen = std::any_of(headers.begin(), headers.begin() + static_cast<ptrdiff_t>(i),
                                  [&](const Header& other) { return other.first == name; });
    if (!seen && name.size() <= kShort && !IsServers(name)) AddText(name, headers[i].second);
  }
  if (plain) return;
  for (const Header& header : headers) {
    for (const std::string* text : {&header.first, &header.second}) {
      list_.push_back({.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = Bytes(*text)}});
    }
  }
  entries_.push_back(
      {.key = Bytes("messaging-headers"),
       .value = {.kind = AMQP_FIELD_KIND_ARRAY,
                 .value = {.array = {.num_entries = static_cast<int>(list_.size()), .entries = list_.data()}}}});
}

void Encoded::AddFailure(const Failure& failure) {
  AddText("messaging-handler", failure.handler);
  AddNumber("messaging-attempts", failure.attempts);
  if (failure.first != absl::InfinitePast()) AddTime("messaging-first", failure.first);
  if (failure.last != absl::InfinitePast()) AddTime("messaging-last", failure.last);
  AddNumber("messaging-code", static_cast<int>(failure.status.code()));
  AddText("messaging-error", failure.status.message());
}

void Encoded::AddRecord(const RabbitRecord& record) {
  const amqp_basic_properties_t& was = Decode(record, pool_);
  properties_ = was;
  // In another queue it would end by its own time; and who sent it was true of another connection.
  properties_._flags &=
      ~static_cast<amqp_flags_t>(AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_EXPIRATION_FLAG | AMQP_BASIC_USER_ID_FLAG);
  properties_._flags |= AMQP_BASIC_DELIVERY_MODE_FLAG;
  properties_.delivery_mode = AMQP_DELIVERY_PERSISTENT;
  bool has_time = false;
  for (int i = 0; (was._flags & AMQP_BASIC_HEADERS_FLAG) && i < was.headers.num_entries; ++i) {
    amqp_table_entry_t entry = was.headers.entries[i];
    const std::string_view name = View(entry.key);
    if (IsOfCopy(name) || IsCounter(name) || (IsServers(name) && record.is_copy)) continue;
    if (IsServers(name)) entry.key = Bytes(Own(absl::StrCat(kKept, name)));
    has_time = has_time || name == "messaging-time";
    entries_.push_back(entry);
  }
  if (!has_time) AddTime("messaging-time", record.timestamp);
}

void Encoded::AddCopyName() {
  static std::atomic<uint64_t> next{std::random_device{}()};
  static const std::string process = absl::StrCat(absl::Hex(std::random_device{}()));
  AddText("messaging-copy",
          Own(absl::StrCat(absl::Hex(absl::ToUnixMicros(absl::Now())), "-", process, "-", absl::Hex(++next))));
}

}  // namespace messaging::rabbitmq
