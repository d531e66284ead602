#include "cli/text.h"

#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

TEST(IsUtf8, KnowsWhatIsNot) {
  for (const char* good :
       {"", "a", "\xC2\x80", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
  for (const char* bad : {"\x80", "\xC1\xBF", "\xC2", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xE2\x82", "\xF0\x8F\xBF\xBF",
                          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "ok\xFF"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
  }
}

TEST(OneLine, EscapesWhatATerminalWouldObey) {
  EXPECT_EQ(OneLine("a\x1b[31m\nb"), "a\\x1b[31m\\x0ab");
  EXPECT_EQ(OneLine("\xFF!"), "\\xff!");
  EXPECT_EQ(OneLine("\xC2\x9B"), "\\xc2\\x9b");
  EXPECT_EQ(OneLine("{\"a\": \"\\\"}"), "{\"a\": \"\\\"}");
  EXPECT_EQ(OneLine("\xC3\xA4"), "\xC3\xA4");
}

TEST(OneLine, CutsBetweenCharacters) {
  EXPECT_EQ(OneLine("abcdef", 6), "abcdef");
  EXPECT_EQ(OneLine("abcdefg", 6), "abcdef...");
  EXPECT_EQ(OneLine("\xC3\xA4\xC3\xA4\xC3\xA4", 2), "\xC3\xA4\xC3\xA4...");
  EXPECT_EQ(OneLine(std::string(1 << 20, 'x'), 3), "xxx...");
}

}  // namespace
}  // namespace messaging::cli
