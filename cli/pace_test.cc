#include "cli/pace.h"

#include <signal.h>

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

TEST(Pace, IsNeverFasterThanAsked) {
  StopSignals signals;
  const absl::Time began = absl::Now();
  const Pace pace(100, signals);
  int waited = 0;
  for (int n = 0; n <= 20; ++n) EXPECT_TRUE(pace.Await(n, [&] { ++waited; }));
  EXPECT_GE(absl::Now() - began, absl::Milliseconds(200));
  EXPECT_GT(waited, 0);
}

TEST(Pace, WithoutARateNothingWaits) {
  StopSignals signals;
  const Pace pace(0, signals);
  EXPECT_TRUE(pace.Await(1'000'000'000, [] { FAIL(); }));
}

TEST(Pace, ASignalEndsTheWait) {
  StopSignals signals;
  const Pace pace(0.001, signals);
  raise(SIGTERM);
  EXPECT_FALSE(pace.Await(1));
  EXPECT_FALSE(Pace(0, signals).Await(0));
}

}  // namespace
}  // namespace messaging::cli
