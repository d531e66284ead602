// Some thousands of seeds, the same in each run; `simulate --seeds N --seed S` runs others and replays one.
#include <cstdint>

#include "gtest/gtest.h"
#include "tests/simulation/world.h"

namespace simulation {
namespace {

TEST(Simulation, EverySeedKeepsEveryPromise) {
  int64_t calls = 0, crashes = 0, dead = 0, pauses = 0, trips = 0;
  for (uint64_t seed = 1; seed <= 4000; ++seed) {
    const Report report = Simulate(seed);
    ASSERT_EQ(report.violation, "") << "seed " << seed << "; replay: simulate --seeds 1 --seed " << seed << " --trace";
    calls += report.calls;
    crashes += report.crashes;
    dead += report.dead;
    pauses += report.pauses;
    trips += report.trips;
  }
  // It did see what it is for.
  EXPECT_GT(calls, 4000);
  EXPECT_GT(crashes, 1000);
  EXPECT_GT(dead, 1000);
  EXPECT_GT(pauses, 1000);
  EXPECT_GT(trips, 1000);
}

TEST(Simulation, TheSameSeedGivesTheSameRun) {
  const Report first = Simulate(7, /*trace=*/true);
  const Report second = Simulate(7, /*trace=*/true);
  EXPECT_EQ(first.trace, second.trace);
  EXPECT_FALSE(first.trace.empty());
}

}  // namespace
}  // namespace simulation
