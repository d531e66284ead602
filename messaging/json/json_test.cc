#include "messaging/json/json.h"

#include <cstdint>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/handler.h"
#include "messaging/internal/fake_call.h"

namespace shop {

struct Order {
  int64_t order_id = 0;
  std::string note;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Order, order_id, note)

class Parcel {
 public:
  int weight = 0;
  std::vector<Order> orders;
  NLOHMANN_DEFINE_TYPE_INTRUSIVE_WITH_DEFAULT(Parcel, weight, orders)
};

struct OnlyIn {
  int x = 0;
};
void from_json(const nlohmann::json& json, OnlyIn& in) { in.x = json.at("x"); }
struct OnlyOut {};
void to_json(nlohmann::json& json, const OnlyOut&) { json = "out"; }

struct Throws {};
void from_json(const nlohmann::json&, Throws&) { throw std::runtime_error("no such customer"); }
void to_json(nlohmann::json&, const Throws&) { throw std::runtime_error("not for sending"); }

struct Numbers {
  int32_t count = 0;
  uint16_t port = 0;
  uint64_t big = 0;
  float ratio = 0;
  std::vector<int8_t> small;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Numbers, count, port, big, ratio, small)

// Cents, read from and written to units of its own.
struct Price {
  int64_t cents = 0;
};
void from_json(const nlohmann::json& json, Price& price) {
  price.cents = static_cast<int64_t>(json.at("price").get<double>() * 100);
}
void to_json(nlohmann::json& json, const Price& price) { json = {{"price", price.cents}}; }

}  // namespace shop

namespace messaging {
namespace {

using internal::FakeCall;
using shop::Order;
using ::testing::HasSubstr;
using ::testing::StartsWith;

template <typename T>
absl::StatusOr<T> Decoded(std::string_view payload, std::string_view content_type = "") {
  FakeCall call;
  call.Add(payload, content_type);
  T out;
  absl::Status status = Codec<T>::Decode(call.messages()[0], out);
  if (!status.ok()) return status;
  return out;
}

template <typename T>
absl::StatusOr<Message> Encoded(const T& value, std::string content_type = "") {
  Message message;
  message.content_type = std::move(content_type);
  absl::Status status = Codec<T>::Encode(value, message);
  if (!status.ok()) return status;
  return message;
}

std::string RefusalOf(std::string_view payload) {
  absl::StatusOr<nlohmann::json> decoded = Decoded<nlohmann::json>(payload);
  EXPECT_EQ(decoded.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(decoded.status().message());
}

TEST(JsonCodec, ReadsAndWritesJsonItself) {
  const nlohmann::json json = {{"order_id", 7}, {"tags", {"a", "b"}}, {"none", nullptr}, {"half", 0.5}};
  absl::StatusOr<Message> message = Encoded(json);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->content_type, "application/json");
  EXPECT_EQ(*Decoded<nlohmann::json>(message->payload), json);
}

TEST(JsonCodec, ReadsAndWritesStructsWithConversions) {
  absl::StatusOr<Message> message = Encoded(Order{7, "sch\xc3\xb6n"});
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(nlohmann::json::parse(message->payload), (nlohmann::json{{"order_id", 7}, {"note", "sch\xc3\xb6n"}}));
  EXPECT_EQ(Decoded<Order>(R"({"order_id": 7, "note": "x", "unknown": {}})")->order_id, 7);
}

TEST(JsonCodec, ReadsClassesAndContainersOfThem) {
  absl::StatusOr<shop::Parcel> parcel = Decoded<shop::Parcel>(R"({"orders": [{"order_id": 3, "note": ""}]})");
  ASSERT_TRUE(parcel.ok());
  EXPECT_EQ(parcel->orders.at(0).order_id, 3);
  EXPECT_EQ((*Decoded<std::vector<int>>("[1, 2]")), (std::vector<int>{1, 2}));
  EXPECT_EQ((Decoded<std::map<std::string, int>>(R"({"a": 1})")->at("a")), 1);
}

TEST(JsonCodec, OneDirectionIsEnoughForThatDirection) {
  EXPECT_EQ(Decoded<shop::OnlyIn>(R"({"x": 5})")->x, 5);
  EXPECT_EQ(Encoded(shop::OnlyOut())->payload, "\"out\"");
  EXPECT_TRUE(Decodable<shop::OnlyIn>);
  EXPECT_FALSE(Encodable<shop::OnlyIn>);
  EXPECT_FALSE(Decodable<shop::OnlyOut>);
}

TEST(JsonCodec, LeavesBytesBytes) {
  EXPECT_EQ(*Decoded<std::string>(R"("quoted")"), R"("quoted")");
  EXPECT_EQ(Encoded(std::string("text"))->payload, "text");
  const char* literal = "{}";
  EXPECT_EQ(Encoded(literal)->content_type, "application/octet-stream");
}

// ---- Content types.

TEST(JsonContentType, IsKnownInAllItsForms) {
  for (std::string_view type :
       {"", "application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/json ;v=1",
        "text/json", "application/vnd.shop.order+json", "application/cloudevents+json; charset=UTF-8"}) {
    EXPECT_TRUE(Decoded<nlohmann::json>("{}", type).ok()) << type;
    EXPECT_TRUE(Encoded(nlohmann::json::object(), std::string(type)).ok()) << type;
  }
}

TEST(JsonContentType, AnotherIsUnimplementedAndNamed) {
  for (std::string_view type : {"application/x-protobuf", "text/plain", "application/jsonx", "; application/json"}) {
    absl::Status status = Decoded<nlohmann::json>("{}", type).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << type;
    EXPECT_THAT(status.message(), HasSubstr(type));
  }
}

TEST(JsonContentType, TheOneAskedForIsKeptOrRefused) {
  EXPECT_EQ(Encoded(Order(), "application/vnd.shop.order+json")->content_type, "application/vnd.shop.order+json");
  EXPECT_EQ(Encoded(Order(), "application/cbor").status().code(), absl::StatusCode::kInvalidArgument);
}

// ---- Hostile and broken text.

TEST(JsonRefusals, SayWhereTheTextIsWrong) {
  EXPECT_THAT(RefusalOf("{\"a\": 1,}"), HasSubstr("column 9"));
  EXPECT_THAT(RefusalOf(""), StartsWith("parse error"));
  EXPECT_THAT(RefusalOf("{} {}"), StartsWith("parse error"));
  EXPECT_THAT(RefusalOf(std::string("\0", 1)), StartsWith("parse error"));
}

TEST(JsonRefusals, InvalidUtf8IsRefusedAndDoesNotReachTheText) {
  const std::string refusal = RefusalOf("\"\xff\xfe\"");
  EXPECT_THAT(refusal, HasSubstr("UTF-8"));
  EXPECT_THAT(refusal, HasSubstr("\\xff'"));
  for (unsigned char c : refusal) EXPECT_LT(c, 0x80);
}

TEST(JsonRefusals, NestingIsLimitedWhateverTheBrackets) {
  auto nested = [](size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); };
  EXPECT_TRUE(Decoded<nlohmann::json>(nested(500)).ok());
  EXPECT_THAT(RefusalOf(nested(501)), HasSubstr("levels deep"));
  EXPECT_THAT(RefusalOf(nested(10'000)), HasSubstr("levels deep"));
  EXPECT_THAT(RefusalOf(std::string(1'000'000, '[')), HasSubstr("levels deep"));
  std::string objects;
  for (int i = 0; i < 10'000; ++i) objects += "{\"a\":";
  EXPECT_THAT(RefusalOf(objects), HasSubstr("levels deep"));
}

TEST(JsonRefusals, BracketsInStringsAreNoNesting) {
  const std::string brackets = "\"" + std::string(1'000, '[') + R"(\")" + std::string(1'000, '{') + "\"";
  EXPECT_TRUE(Decoded<nlohmann::json>(brackets).ok());
  std::string flat = "[0";
  for (int i = 0; i < 2'000; ++i) flat += ",[]";
  EXPECT_TRUE(Decoded<nlohmann::json>(flat + "]").ok());
}

TEST(JsonRefusals, NumbersThatNoDoubleHolds) {
  EXPECT_FALSE(RefusalOf("1e400").empty());
  EXPECT_FALSE(RefusalOf(std::string(400, '9')).empty());
  EXPECT_EQ(*Decoded<uint64_t>("18446744073709551615"), std::numeric_limits<uint64_t>::max());
}

TEST(JsonRefusals, NumbersThatTheirFieldsCannotHold) {
  const std::pair<const char*, const char*> wrong[] = {
      {R"({"count": 3000000000})", "count: 3000000000 does not fit its field"},
      {R"({"count": -2147483649})", "count: -2147483649 does not fit its field"},
      {R"({"count": 12.75})", "count: 12.75 does not fit its field"},
      {R"({"count": 1e19})", "count: 1e+19 does not fit its field"},
      {R"({"count": 4294967296})", "count: 4294967296 does not fit its field"},
      {R"({"port": 70000})", "port: 70000 does not fit its field"},
      {R"({"port": -1})", "port: -1 does not fit its field"},
      {R"({"big": -1})", "big: -1 does not fit its field"},
      {R"({"big": 18446744073709551616})", "big: 1.8446744073709552e+19 does not fit its field"},
      {R"({"ratio": 1e300})", "ratio: 1e+300 does not fit its field"},
      {R"({"small": [1, 2, 200]})", "small[2]: 200 does not fit its field"},
  };
  for (const auto& [text, why] : wrong) {
    EXPECT_EQ(Decoded<shop::Numbers>(text).status(), absl::InvalidArgumentError(why)) << text;
  }
  EXPECT_EQ(Decoded<std::vector<shop::Numbers>>(R"([{}, {"port": 70000}])").status(),
            absl::InvalidArgumentError("[1].port: 70000 does not fit its field"));
}

TEST(JsonCodec, NumbersThatFitAreLeftAlone) {
  for (const char* text : {R"({"count": 2147483647})", R"({"count": -2147483648})", R"({"count": 3.0})",
                           R"({"port": 65535})", R"({"big": 18446744073709551615})", R"({"ratio": 0.1})",
                           R"({"ratio": 16777217})", R"({"small": [-128, 127]})", R"({"unknown": 1e300})"}) {
    EXPECT_TRUE(Decoded<shop::Numbers>(text).ok()) << text << Decoded<shop::Numbers>(text).status();
  }
  EXPECT_EQ(Decoded<shop::Price>(R"({"price": 12.75})")->cents, 1275);
}

TEST(JsonRefusals, ANullPayload) {
  FakeCall call;
  call.Add("").record(0).null_payload = true;
  nlohmann::json out;
  EXPECT_EQ(Codec<nlohmann::json>::Decode(call.messages()[0], out),
            absl::InvalidArgumentError("a null payload is not JSON"));
}

TEST(JsonRefusals, AMissingFieldIsNamedFirst) {
  EXPECT_EQ(Decoded<Order>(R"({"note": "x"})").status(), absl::InvalidArgumentError("order_id: missing"));
}

TEST(JsonRefusals, AWrongTypeIsTold) {
  absl::Status status = Decoded<Order>(R"({"order_id": "seven", "note": ""})").status();
  EXPECT_EQ(status, absl::InvalidArgumentError("type must be number, but is string"));
  EXPECT_FALSE(Decoded<Order>("[]").ok());
  EXPECT_FALSE(Decoded<Order>("null").ok());
}

TEST(JsonRefusals, WhatAConversionThrowsIsTold) {
  EXPECT_EQ(Decoded<shop::Throws>("{}").status(), absl::InvalidArgumentError("no such customer"));
  EXPECT_EQ(Encoded(shop::Throws()).status(), absl::InvalidArgumentError("not for sending"));
}

TEST(JsonRefusals, InvalidUtf8IsNotSent) {
  EXPECT_THAT(Encoded(nlohmann::json{{"note", "\xff"}}).status().message(), HasSubstr("UTF-8"));
  EXPECT_EQ(Encoded(Order{1, "\xc3"}).status().code(), absl::StatusCode::kInvalidArgument);
}

// ---- As users write it.

class LastSent : public Sender {
 public:
  Message message;
  absl::Status encoded;

 private:
  Confirmation SendEncoded(Message message, absl::Status encoded, SendOptions) override {
    this->message = std::move(message);
    this->encoded = std::move(encoded);
    return Confirmation();
  }
};

TEST(Send, ABracedBodyIsJson) {
  LastSent sender;
  sender.Send("orders.created", {{"order_id", 7}, {"user_id", 3}});
  EXPECT_EQ(nlohmann::json::parse(sender.message.payload), (nlohmann::json{{"order_id", 7}, {"user_id", 3}}));
  sender.Send("orders.created", Order{9, ""}, {.key = "9"});
  EXPECT_EQ(nlohmann::json::parse(sender.message.payload)["order_id"], 9);
  sender.Send("orders.created", {{"note", "\xff"}});
  EXPECT_EQ(sender.encoded.code(), absl::StatusCode::kInvalidArgument);
}

TEST(Handler, TakesJsonAndStructsAndTellsTheirNames) {
  Handler json = MakeHandler("F", [](const nlohmann::json& m) { return absl::AbortedError(m.dump()); }, {});
  Handler batch =
      MakeHandler("G", [](absl::Span<const Order> orders) { return std::vector<absl::Status>(orders.size()); }, {});
  EXPECT_EQ(json.message_type, "nlohmann::json");
  EXPECT_EQ(batch.message_type, "span of shop::Order");
  FakeCall call;
  json.invoke(call.Add("[1]"));
  EXPECT_EQ(call.verdict(0)->status, absl::AbortedError("[1]"));
  FakeCall bad;
  json.invoke(bad.Add("[1"));
  EXPECT_TRUE(bad.verdict(0)->rejected);
}

}  // namespace
}  // namespace messaging
