#include "cli/bench_command.h"

#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

TEST(Percentiles, AreValuesThatWereMeasured) {
  std::vector<absl::Duration> measured;
  for (int i = 100; i > 0; --i) measured.push_back(absl::Milliseconds(i));
  const Latencies latencies = Percentiles(measured);
  EXPECT_EQ(latencies.p50, absl::Milliseconds(50));
  EXPECT_EQ(latencies.p90, absl::Milliseconds(90));
  EXPECT_EQ(latencies.p99, absl::Milliseconds(99));
  EXPECT_EQ(latencies.max, absl::Milliseconds(100));
}

TEST(Percentiles, OfFew) {
  EXPECT_EQ(Percentiles({}).max, absl::ZeroDuration());
  const Latencies one = Percentiles({absl::Seconds(3)});
  EXPECT_EQ(one.p50, absl::Seconds(3));
  EXPECT_EQ(one.p99, absl::Seconds(3));
}

}  // namespace
}  // namespace messaging::cli
