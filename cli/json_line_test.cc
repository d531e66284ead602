#include "cli/json_line.h"

#include <string>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace messaging::cli {
namespace {

using nlohmann::json;

std::string LineOf(Record& record) {
  return MessageLine(Received(&record, "group", "print", 1, 1, absl::InfiniteFuture()));
}

std::string PayloadOf(std::string_view payload) {
  JsonLine line;
  line.Payload(payload);
  return std::move(line).Finish();
}

TEST(MessageLine, HoldsWhatIsKnownInOneLine) {
  const HeaderView headers[] = {{"trace", "1"}, {"trace", "2"}};
  Record record;
  record.topic = "orders.created";
  record.key = "7";
  record.has_key = true;
  record.id = "id-1";
  record.headers = headers;
  record.timestamp = absl::FromUnixMillis(1'700'000'000'123);
  record.content_type = "application/json";
  record.partition = 2;
  record.position = 11;
  record.payload = "{\n  \"order_id\": 7\n}";
  EXPECT_EQ(LineOf(record),
            "{\"topic\":\"orders.created\",\"key\":\"7\",\"id\":\"id-1\","
            "\"headers\":[{\"name\":\"trace\",\"value\":\"1\"},{\"name\":\"trace\",\"value\":\"2\"}],"
            "\"timestamp\":\"2023-11-14T22:13:20.123Z\",\"content_type\":\"application/json\","
            "\"partition\":2,\"position\":11,\"payload\":{   \"order_id\": 7 }}\n");
}

TEST(MessageLine, LeavesOutWhatThereIsNot) {
  Record record;
  record.topic = "t";
  record.payload = "1";
  EXPECT_EQ(LineOf(record), "{\"topic\":\"t\",\"payload\":1}\n");
  record.has_key = true;  // An empty key is a key.
  EXPECT_EQ(LineOf(record), "{\"topic\":\"t\",\"key\":\"\",\"payload\":1}\n");
  record.null_payload = true;
  record.payload = "";
  EXPECT_EQ(LineOf(record), "{\"topic\":\"t\",\"key\":\"\",\"null_payload\":true}\n");
}

TEST(MessageLine, AnyBytesGiveJsonInOneLine) {
  const std::string bytes("\0\n\"\\\xFF\x80", 6);
  const HeaderView headers[] = {{bytes, bytes}};
  Record record;
  record.topic = "t";
  record.key = bytes;
  record.has_key = true;
  record.headers = headers;
  record.payload = bytes;
  const std::string line = LineOf(record);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const json read = json::parse(line);
  EXPECT_EQ(read.at("key_base64"), "AAoiXP+A");
  EXPECT_EQ(read.at("payload_base64"), "AAoiXP+A");
  EXPECT_EQ(read.at("headers")[0].at("name_base64"), "AAoiXP+A");
  EXPECT_EQ(read.at("headers")[0].at("value_base64"), "AAoiXP+A");
}

TEST(JsonLine, PayloadIsJsonElseTextElseBase64) {
  EXPECT_EQ(PayloadOf("12345678901234567890.10"), "{\"payload\":12345678901234567890.10}\n");
  EXPECT_EQ(PayloadOf("hello\nworld"), "{\"payload_text\":\"hello\\nworld\"}\n");
  EXPECT_EQ(PayloadOf(""), "{\"payload_text\":\"\"}\n");
  EXPECT_EQ(PayloadOf("\xC3"), "{\"payload_base64\":\"ww==\"}\n");
}

TEST(JsonLine, EscapesNamesAndTexts) {
  JsonLine line;
  line.Text("a\"b", "\t").Number("n", -1).Bool("b", false).Texts("l", {"x", "y"});
  EXPECT_EQ(std::move(line).Finish(), "{\"a\\\"b\":\"\\t\",\"n\":-1,\"b\":false,\"l\":[\"x\",\"y\"]}\n");
}

TEST(JsonLine, NoTimeAndNoHeadersAreNoMembers) {
  JsonLine line;
  line.Time("t", absl::InfinitePast()).Headers({}).Texts("l", {});
  EXPECT_EQ(std::move(line).Finish(), "{\"l\":[]}\n");
}

}  // namespace
}  // namespace messaging::cli
