#include "cli/check_command.h"

#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

using Level = Finding::Level;

const std::vector<Finding> kFindings = {
    {.subject = "server", .message = "answers"},
    {.level = Level::kWarning,
     .subject = "durability",
     .message = "the last second can be lost",
     .cure = "CONFIG SET appendfsync always",
     .expected = "appendfsync always",
     .found = "appendfsync everysec"},
    {.level = Level::kError, .subject = "topic orders", .message = "no right to send\n\x1b[2J", .cure = "grant it"},
};

TEST(FindingsText, ShowsCureAndDifference) {
  EXPECT_EQ(FindingsText(kFindings, Style(false)),
            "ok       server        answers\n"
            "warning  durability    the last second can be lost\n"
            "         - appendfsync everysec\n"
            "         + appendfsync always\n"
            "         cure: CONFIG SET appendfsync always\n"
            "error    topic orders  no right to send\\x0a\\x1b[2J\n"
            "         cure: grant it\n");
}

TEST(FindingsJson, IsALineEach) {
  EXPECT_EQ(FindingsJson({kFindings[1]}),
            R"({"level":"warning","subject":"durability","message":"the last second can be lost",)"
            R"("cure":"CONFIG SET appendfsync always","expected":"appendfsync always","found":"appendfsync everysec"})"
            "\n");
}

TEST(FindingsCode, ErrorsAreFoundAndWarningsWhenStrict) {
  EXPECT_EQ(FindingsCode(kFindings, false), kFound);
  EXPECT_EQ(FindingsCode({kFindings[0], kFindings[1]}, false), kOk);
  EXPECT_EQ(FindingsCode({kFindings[0], kFindings[1]}, true), kFound);
  EXPECT_EQ(FindingsCode({kFindings[0]}, true), kOk);
}

TEST(Diff, ShowsWhatOneSideHas) {
  EXPECT_EQ(Diff("", ""), "");
  EXPECT_EQ(Diff("a\nb\nc\n", "a\nx\nc\nd"), "  a\n- b\n+ x\n  c\n+ d\n");
  EXPECT_EQ(Diff("one", ""), "- one\n");
  EXPECT_EQ(Diff("", "one\ntwo"), "+ one\n+ two\n");
}

}  // namespace
}  // namespace messaging::cli
