#include "cli/json_check.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

using ::testing::HasSubstr;

TEST(CheckJson, TakesAnyValue) {
  for (const char* text : {"{}", "[1, 2]", "\"x\"", "-5", "null", " {\"a\": [true]}\r\n", "\"\xC3\xA4\""}) {
    EXPECT_TRUE(CheckJson(text).ok()) << text << ": " << CheckJson(text);
  }
}

TEST(CheckJson, RefusesWhatIsNone) {
  for (const char* text : {"", "{", "{\"a\": }", "nul", "{} {}", "{'a': 1}", "\"\xFF\"", "01", "[1,]"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckJson(text))) << text;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(CheckJson(std::string_view("{}\0", 3))));
}

TEST(CheckJson, SaysWhereAndWhyInOneShortLine) {
  const absl::Status status = CheckJson("{\"a\": 1,\n\"b\" 2}");
  EXPECT_THAT(std::string(status.message()), HasSubstr("not JSON at byte 14: "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("expected ':'"));
  const std::string text(CheckJson("\"" + std::string(1 << 20, '\x01')).message());
  EXPECT_LT(text.size(), 1000u);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_EQ(text.find('\x01'), std::string::npos);
}

TEST(CheckJson, DeepNestingDoesNotOverflowTheStack) {
  const size_t depth = 1'000'000;
  EXPECT_TRUE(CheckJson(std::string(depth, '[') + std::string(depth, ']')).ok());
  EXPECT_FALSE(CheckJson(std::string(depth, '[')).ok());
}

}  // namespace
}  // namespace messaging::cli
