// Headers that other programs write: every type of AMQP survives retries and dead letters.
#include <rabbitmq-c/amqp.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "messaging/broker/names.h"
#include "rabbitmq/testing/with_server.h"

namespace messaging {
namespace {

using rabbitmq_testing::Joined;
using rabbitmq_testing::kLimit;
using rabbitmq_testing::Other;

class RabbitmqHeadersTest : public rabbitmq_testing::WithServer {};

std::string_view View(const amqp_bytes_t& bytes) { return {static_cast<const char*>(bytes.bytes), bytes.len}; }

// As text with its type, nested ones too.
std::string Show(const amqp_field_value_t& value) {
  const std::string kind(1, static_cast<char>(value.kind));
  std::string inner;
  switch (value.kind) {
    case AMQP_FIELD_KIND_BOOLEAN:
      return absl::StrCat(kind, " ", value.value.boolean);
    case AMQP_FIELD_KIND_I8:
      return absl::StrCat(kind, " ", static_cast<int>(value.value.i8));
    case AMQP_FIELD_KIND_U8:
      return absl::StrCat(kind, " ", static_cast<int>(value.value.u8));
    case AMQP_FIELD_KIND_I16:
      return absl::StrCat(kind, " ", value.value.i16);
    case AMQP_FIELD_KIND_U16:
      return absl::StrCat(kind, " ", value.value.u16);
    case AMQP_FIELD_KIND_I32:
      return absl::StrCat(kind, " ", value.value.i32);
    case AMQP_FIELD_KIND_U32:
      return absl::StrCat(kind, " ", value.value.u32);
    case AMQP_FIELD_KIND_I64:
      return absl::StrCat(kind, " ", value.value.i64);
    case AMQP_FIELD_KIND_TIMESTAMP:
      return absl::StrCat(kind, " ", value.value.u64);
    case AMQP_FIELD_KIND_F32:
      return absl::StrCat(kind, " ", value.value.f32);
    case AMQP_FIELD_KIND_F64:
      return absl::StrCat(kind, " ", value.value.f64);
    case AMQP_FIELD_KIND_DECIMAL:
      return absl::StrCat(kind, " ", value.value.decimal.value, " ", static_cast<int>(value.value.decimal.decimals));
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
      return absl::StrCat(kind, " ", absl::CHexEscape(View(value.value.bytes)));
    case AMQP_FIELD_KIND_ARRAY:
      for (int i = 0; i < value.value.array.num_entries; ++i) {
        absl::StrAppend(&inner, Show(value.value.array.entries[i]), ", ");
      }
      return absl::StrCat(kind, " [", inner, "]");
    case AMQP_FIELD_KIND_TABLE:
      for (int i = 0; i < value.value.table.num_entries; ++i) {
        const amqp_table_entry_t& entry = value.value.table.entries[i];
        absl::StrAppend(&inner, View(entry.key), ": ", Show(entry.value), ", ");
      }
      return absl::StrCat(kind, " {", inner, "}");
    default:
      return kind;
  }
}

amqp_field_value_t Value(uint8_t kind, const std::function<void(amqp_field_value_t&)>& set = nullptr) {
  amqp_field_value_t value = {};
  value.kind = kind;
  if (set) set(value);
  return value;
}

// One of each type, those of the server among them.
struct AllTypes {
  std::vector<amqp_field_value_t> list;
  std::vector<amqp_table_entry_t> nested, entries, death;
  AllTypes() {
    auto add = [this](const char* name, amqp_field_value_t value) {
      entries.push_back({.key = amqp_cstring_bytes(name), .value = value});
    };
    const amqp_field_value_t text =
        Value(AMQP_FIELD_KIND_UTF8, [](auto& v) { v.value.bytes = amqp_cstring_bytes("d\xc3\xa9j\xc3\xa0"); });
    const amqp_field_value_t bytes = Value(AMQP_FIELD_KIND_BYTES, [](auto& v) {
      v.value.bytes = {4, const_cast<char*>("\x00\xff\x01z")};
    });
    add("boolean", Value(AMQP_FIELD_KIND_BOOLEAN, [](auto& v) { v.value.boolean = 1; }));
    add("i8", Value(AMQP_FIELD_KIND_I8, [](auto& v) { v.value.i8 = -8; }));
    add("i16", Value(AMQP_FIELD_KIND_I16, [](auto& v) { v.value.i16 = -1'600; }));
    add("i32", Value(AMQP_FIELD_KIND_I32, [](auto& v) { v.value.i32 = -320'000; }));
    add("i64", Value(AMQP_FIELD_KIND_I64, [](auto& v) { v.value.i64 = -(int64_t{1} << 60); }));
    add("u8", Value(AMQP_FIELD_KIND_U8, [](auto& v) { v.value.u8 = 200; }));
    add("u16", Value(AMQP_FIELD_KIND_U16, [](auto& v) { v.value.u16 = 60'000; }));
    add("u32", Value(AMQP_FIELD_KIND_U32, [](auto& v) { v.value.u32 = 4'000'000'000; }));
    add("f32", Value(AMQP_FIELD_KIND_F32, [](auto& v) { v.value.f32 = 1.5F; }));
    add("f64", Value(AMQP_FIELD_KIND_F64, [](auto& v) { v.value.f64 = -2.25; }));
    add("decimal", Value(AMQP_FIELD_KIND_DECIMAL, [](auto& v) { v.value.decimal = {2, 31'415}; }));
    add("text", text);
    add("bytes", bytes);
    add("time", Value(AMQP_FIELD_KIND_TIMESTAMP, [](auto& v) { v.value.u64 = 1'700'000'000; }));
    add("void", Value(AMQP_FIELD_KIND_VOID));
    list = {text, bytes, Value(AMQP_FIELD_KIND_VOID)};
    const amqp_field_value_t array = Value(AMQP_FIELD_KIND_ARRAY, [this](auto& v) {
      v.value.array = {static_cast<int>(list.size()), list.data()};
    });
    add("array", array);
    nested = {{.key = amqp_cstring_bytes("inner"), .value = array}, {.key = amqp_cstring_bytes("text"), .value = text}};
    add("table", Value(AMQP_FIELD_KIND_TABLE, [this](auto& v) {
          v.value.table = {static_cast<int>(nested.size()), nested.data()};
        }));
    // As a message has it that died once in this very queue: the server would drop it at its second pass.
    death = {{.key = amqp_cstring_bytes("queue"), .value = text}};
    add("x-first-death-queue", text);
  }
  amqp_basic_properties_t properties() {
    amqp_basic_properties_t all = {};
    all._flags = AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG;
    all.message_id = amqp_cstring_bytes("m1");
    all.headers = {static_cast<int>(entries.size()), entries.data()};
    return all;
  }
};

std::map<std::string, std::string> Shown(const amqp_table_t& table) {
  std::map<std::string, std::string> shown;
  for (int i = 0; i < table.num_entries; ++i) {
    std::string_view name = View(table.entries[i].key);
    absl::ConsumePrefix(&name, "messaging-kept-");
    if (!absl::StartsWith(name, "messaging-")) shown.emplace(name, Show(table.entries[i].value));
  }
  return shown;
}

TEST_F(RabbitmqHeadersTest, EveryTypeSurvivesRetriesAndDeath) {
  const auto broker = NewBroker();
  Joined joined(*broker);
  AllTypes types;
  Other other(server(), virtual_host_);
  ASSERT_EQ(other.Publish("messaging", "t", "m", types.properties()), absl::OkStatus());
  for (int attempt = 1; attempt <= 3; ++attempt) {
    ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
    Delivery delivery = joined.sink.TakeFirst();
    EXPECT_EQ(delivery.record()->attempts, attempt - 1);
    std::map<std::string, std::string> seen;
    for (const HeaderView& header : delivery.record()->headers) seen.emplace(header.name, header.value);
    EXPECT_EQ(seen.size(), types.entries.size());
    EXPECT_EQ(seen["i64"], absl::StrCat(-(int64_t{1} << 60)));
    EXPECT_EQ(seen["boolean"], "true");
    EXPECT_EQ(seen["bytes"], std::string("\x00\xff\x01z", 4));
    EXPECT_EQ(seen["decimal"], "31415e-2");
    const Failure failure = {.handler = "h",
                             .status = absl::InternalError("no"),
                             .attempts = attempt,
                             .first = absl::Now(),
                             .last = absl::Now()};
    joined.Give(attempt < 3 ? std::move(delivery).RetryAfter(absl::Milliseconds(50), failure)
                            : std::move(delivery).DeadLetter(failure));
  }
  bool found = false;
  EXPECT_TRUE(other.Get(DeadLetterPlace("t", "g"), [&](const amqp_message_t& message) {
    found = true;
    const std::map<std::string, std::string> kept = Shown(message.properties.headers);
    for (const auto& [name, value] : Shown(types.properties().headers)) {
      EXPECT_EQ(kept.count(name) > 0 ? kept.at(name) : "gone", value) << name;
    }
    EXPECT_EQ(View(message.properties.message_id), "m1");
    EXPECT_EQ(View(message.body), "m");
  }));
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace messaging
