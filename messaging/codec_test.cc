#include "messaging/codec.h"

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "messaging/record.h"

namespace messaging {
namespace {

const std::string kBytes("a\0\xff\n", 4);  // NUL, no UTF-8.

Received Of(Record& record) { return Received(&record, "group", "handler", 1, 1, absl::InfiniteFuture()); }

template <typename T>
T DecodedAs(std::string_view payload, std::string_view content_type = "") {
  Record record{.payload = payload};
  record.content_type = content_type;
  T out;
  EXPECT_TRUE(Codec<T>::Decode(Of(record), out).ok());
  return out;
}

TEST(BytesCodec, DecodesEveryByteAsItIs) {
  EXPECT_EQ(DecodedAs<std::string>(kBytes), kBytes);
  EXPECT_EQ(DecodedAs<absl::Cord>(kBytes), kBytes);
  EXPECT_EQ(DecodedAs<std::string>(""), "");
}

TEST(BytesCodec, TakesAnyContentType) { EXPECT_EQ(DecodedAs<std::string>("{}", "application/json"), "{}"); }

TEST(BytesCodec, AViewPointsIntoTheBuffer) { EXPECT_EQ(DecodedAs<std::string_view>(kBytes).data(), kBytes.data()); }

template <typename T>
Message Encoded(const T& value, std::string content_type = "") {
  Message message;
  message.content_type = std::move(content_type);
  EXPECT_TRUE(Codec<T>::Encode(value, message).ok());
  return message;
}

TEST(BytesCodec, EncodesStringsViewsAndCordsAsTheyAre) {
  for (const Message& message : {Encoded(kBytes), Encoded(std::string_view(kBytes)), Encoded(absl::Cord(kBytes))}) {
    EXPECT_EQ(message.payload, kBytes);
    EXPECT_EQ(message.content_type, "application/octet-stream");
  }
}

TEST(BytesCodec, EncodesALiteralWithoutItsTerminator) {
  const char* literal = "text";
  EXPECT_EQ(Encoded(literal).payload, "text");
}

TEST(BytesCodec, AContentTypeThatIsGivenStays) {
  EXPECT_EQ(Encoded(std::string("{}"), "application/json").content_type, "application/json");
}

TEST(Received, DefaultContentTypeCountsOnlyWhereNoneIsDeclared) {
  Record silent, speaking;
  speaking.content_type = "text/plain";
  EXPECT_EQ(Of(silent).WithDefaultContentType("application/json").content_type(), "application/json");
  EXPECT_EQ(Of(speaking).WithDefaultContentType("application/json").content_type(), "text/plain");
  EXPECT_EQ(Of(silent).content_type(), "");
}

}  // namespace
}  // namespace messaging
