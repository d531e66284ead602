#include "cli/progress.h"

#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

TEST(ProgressLine, ShowsShareCountAndRate) {
  EXPECT_EQ(ProgressLine(4'700, 500, 1'000, absl::Seconds(2)),
            "[===============>              ]  50%  4,700 sent  2,350/s");
  EXPECT_EQ(ProgressLine(10, 1'000, 1'000, absl::Seconds(1)), "[==============================] 100%  10 sent  10/s");
}

TEST(ProgressLine, HasNoBarWhenTheEndIsNotKnown) {
  EXPECT_EQ(ProgressLine(10, 1'000, 0, absl::Seconds(1)), "10 sent  10/s");
}

TEST(ProgressLine, FileThatGrewMeanwhileIsFull) {
  EXPECT_EQ(ProgressLine(1, 3'000, 1'000, absl::Seconds(1)), "[==============================] 100%  1 sent  1/s");
}

TEST(Thousands, SeparatesGroupsOfThree) {
  EXPECT_EQ(Thousands(0), "0");
  EXPECT_EQ(Thousands(999), "999");
  EXPECT_EQ(Thousands(1'000), "1,000");
  EXPECT_EQ(Thousands(-1'234'567), "-1,234,567");
  EXPECT_EQ(Thousands(-123), "-123");
}

TEST(Rate, OfNoTimeIsFinite) { EXPECT_EQ(Rate(1, absl::ZeroDuration()), "1,000"); }

}  // namespace
}  // namespace messaging::cli
