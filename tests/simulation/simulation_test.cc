// Hundreds of schedules of each broker's model, the same ones in each run, and then fresh ones; tools/simulate runs
// others, and replays one.
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/simulation/plan.h"
#include "tests/simulation/world.h"

namespace simulation {
namespace {

std::string Replay(const Plan& plan) {
  return "replay: tools/simulate --seeds 1 --seed " + std::to_string(plan.seed) + " --broker " +
         std::string(Name(plan.model));
}

class Simulation : public testing::TestWithParam<Model> {};

TEST_P(Simulation, EverySeedKeepsEveryPromise) {
  int64_t calls = 0, crashes = 0, dead = 0, pauses = 0, trips = 0;
  for (uint64_t seed = 1; seed <= 600; ++seed) {
    const Plan plan = DrawPlan(seed, GetParam());
    const Report report = Simulate(plan);
    ASSERT_EQ(report.violation, "") << Replay(plan);
    calls += report.calls;
    crashes += report.crashes;
    dead += report.dead;
    pauses += report.pauses;
    trips += report.trips;
  }
  // It did see what it is for.
  EXPECT_GT(calls, 5'000);
  EXPECT_GT(crashes, 100);
  EXPECT_GT(dead, 100);
  EXPECT_GT(pauses, 100);
  EXPECT_GT(trips, 50);
}

// As many as there is time for: a thousand, or what a slow machine does in 10 seconds.
TEST_P(Simulation, FreshSeedsKeepEveryPromise) {
  const uint64_t first = uint64_t{std::random_device()()} << 20;
  const absl::Time until = absl::Now() + absl::Seconds(10);
  int done = 0;
  for (; done < 1'000 && (done < 20 || absl::Now() < until); ++done) {
    const Plan plan = DrawPlan(first + static_cast<uint64_t>(done), GetParam());
    ASSERT_EQ(Simulate(plan).violation, "") << Replay(plan);
  }
  std::printf("%d fresh seeds from %llu\n", done, static_cast<unsigned long long>(first));
}

TEST_P(Simulation, TheSameSeedGivesTheSameRun) {
  const Plan plan = DrawPlan(7, GetParam());
  const Report first = Simulate(plan, /*trace=*/true);
  EXPECT_EQ(first.trace, Simulate(plan, /*trace=*/true).trace);
  EXPECT_FALSE(first.trace.empty());
}

INSTANTIATE_TEST_SUITE_P(, Simulation, testing::ValuesIn(kModels),
                         [](const auto& info) { return std::string(Name(info.param)); });

TEST(Shrink, LeavesWhatIsNeeded) {
  const Plan plan = DrawPlan(3, Model::kQueue);
  ASSERT_GT(plan.messages.size(), 10u);
  const std::string needed = plan.messages[5].key;
  const Plan small = Shrink(plan, [&](const Plan& smaller) {
    for (const MessagePlan& message : smaller.messages) {
      if (message.key == needed && message.sent_at == plan.messages[5].sent_at) return true;
    }
    return false;
  });
  EXPECT_EQ(small.messages.size(), 1u);
  EXPECT_TRUE(small.faults.empty());
  EXPECT_EQ(small.members, 1);
}

}  // namespace
}  // namespace simulation
