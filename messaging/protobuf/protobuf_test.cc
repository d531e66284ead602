#include "messaging/protobuf/protobuf.h"

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/handler.h"
#include "messaging/internal/fake_call.h"
#include "messaging/json/json.h"  // Both in one file: neither takes the other's types.
#include "messaging/protobuf/test_messages.pb.h"

namespace messaging {
namespace {

using internal::FakeCall;
using test::NewPayment;
using test::Payment;
using ::testing::HasSubstr;

Payment Example() {
  Payment payment;
  payment.set_order_id(7);
  payment.set_card_token("tok");
  return payment;
}

absl::StatusOr<Payment> Decoded(std::string_view payload, std::string_view content_type = "") {
  FakeCall call;
  call.Add(payload, content_type);
  Payment out;
  absl::Status status = Codec<Payment>::Decode(call.messages()[0], out);
  if (!status.ok()) return status;
  return out;
}

absl::StatusOr<Message> Encoded(const Payment& payment, std::string content_type = "") {
  Message message;
  message.content_type = std::move(content_type);
  absl::Status status = Codec<Payment>::Encode(payment, message);
  if (!status.ok()) return status;
  return message;
}

TEST(ProtobufCodec, IsBinaryByDefault) {
  absl::StatusOr<Message> message = Encoded(Example());
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->content_type, "application/x-protobuf");
  EXPECT_EQ(message->payload, Example().SerializeAsString());
  EXPECT_EQ(Decoded(message->payload)->card_token(), "tok");
}

TEST(ProtobufCodec, KnowsBinarysNames) {
  for (std::string_view type : {"application/x-protobuf", "application/protobuf", "application/vnd.google.protobuf",
                                "Application/Protobuf; proto=messaging.test.Payment"}) {
    EXPECT_EQ(Decoded(Example().SerializeAsString(), type)->order_id(), 7) << type;
    EXPECT_EQ(Encoded(Example(), std::string(type))->content_type, type);
  }
}

TEST(ProtobufCodec, IsJsonWhereTheContentTypeSaysSo) {
  for (std::string_view type : {"application/json", "application/json; charset=utf-8", "application/vnd.shop+json"}) {
    absl::StatusOr<Message> message = Encoded(Example(), std::string(type));
    ASSERT_TRUE(message.ok()) << type;
    EXPECT_EQ(message->content_type, type);
    EXPECT_EQ(nlohmann::json::parse(message->payload), (nlohmann::json{{"orderId", "7"}, {"cardToken", "tok"}}));
    EXPECT_EQ(Decoded(message->payload, type)->card_token(), "tok");
  }
}

TEST(ProtobufCodec, TakesBothSpellingsOfFieldsInJson) {
  EXPECT_EQ(Decoded(R"({"order_id": 3})", "application/json")->order_id(), 3);
  EXPECT_EQ(Decoded(R"({"orderId": "3"})", "application/json")->order_id(), 3);
}

TEST(ProtobufCodec, IgnoresUnknownFieldsInBothForms) {
  NewPayment newer;
  newer.set_order_id(5);
  newer.set_currency("EUR");
  EXPECT_EQ(Decoded(newer.SerializeAsString())->order_id(), 5);
  EXPECT_EQ(Decoded(R"({"order_id": 5, "currency": "EUR"})", "application/json")->order_id(), 5);
}

TEST(ProtobufCodec, RefusesAnotherContentTypeByItsName) {
  absl::Status status = Decoded(Example().SerializeAsString(), "text/xml").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(status.message(), HasSubstr("text/xml"));
  EXPECT_EQ(Encoded(Example(), "text/xml").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ProtobufRefusals, NameTheMessage) {
  EXPECT_EQ(Decoded("\xff\xff").status(), absl::InvalidArgumentError("these bytes are no messaging.test.Payment"));
  EXPECT_THAT(Decoded("{", "application/json").status().message(), HasSubstr("messaging.test.Payment"));
  EXPECT_THAT(Decoded("", "application/json").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(Decoded(R"({"order_id": "x"})", "application/json").ok());
}

TEST(ProtobufRefusals, RequiredFieldsAreNamedInBothDirections) {
  EXPECT_THAT(Decoded("").status().message(), HasSubstr("order_id"));
  EXPECT_THAT(Decoded("{}", "application/json").status().message(), HasSubstr("order_id"));
  EXPECT_THAT(Encoded(Payment()).status().message(), HasSubstr("order_id"));
}

TEST(ProtobufRefusals, ANullPayload) {
  FakeCall call;
  call.Add("").record(0).null_payload = true;
  NewPayment out;
  EXPECT_EQ(Codec<NewPayment>::Decode(call.messages()[0], out),
            absl::InvalidArgumentError("a null payload is no messaging.test.NewPayment"));
}

TEST(ProtobufRefusals, NestingIsLimitedInBothForms) {
  std::string json = R"({"orderId": 1})", binary = Example().SerializeAsString();
  for (int i = 0; i < 10'000; ++i) json = R"({"orderId": 1, "part": )" + json + "}";
  EXPECT_EQ(Decoded(json, "application/json").status().code(), absl::StatusCode::kInvalidArgument);
  Payment deep = Example();
  for (int i = 0; i < 150; ++i) {
    Payment outer = Example();
    *outer.mutable_part() = deep;
    deep = outer;
  }
  EXPECT_EQ(Decoded(deep.SerializeAsString()).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Handler, OptionsSayWhatAMessageWithoutContentTypeHolds) {
  int64_t seen = 0;
  auto function = [&seen](const Payment& payment) {
    seen = payment.order_id();
    return absl::OkStatus();
  };
  FakeCall call;
  MakeHandler("F", function, {.content_type = "application/json"}).invoke(call.Add(R"({"order_id": 4})"));
  EXPECT_EQ(seen, 4);
  FakeCall binary;
  Handler handler = MakeHandler("F", function, {});
  handler.invoke(binary.Add(Example().SerializeAsString()));
  EXPECT_EQ(seen, 7);
  EXPECT_EQ(handler.message_type, "messaging::test::Payment");
}

}  // namespace
}  // namespace messaging
