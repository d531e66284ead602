// The simulation sees: bugs planted on purpose are found, each by few seeds. `tools/simulate --planted` tries every
// one.
#include <algorithm>
#include <cstdint>
#include <string>

#include "gtest/gtest.h"
#include "tests/simulation/plan.h"
#include "tests/simulation/plant.h"
#include "tests/simulation/world.h"

namespace simulation {
namespace {

class Planted : public testing::TestWithParam<PlantedBug> {};

TEST_P(Planted, IsFound) {
  Plant(GetParam().name);
  bool found = false;
  for (uint64_t seed = 1; seed <= 10'000 && !found; ++seed) {
    found = !Simulate(DrawPlan(seed, GetParam().model)).violation.empty();
  }
  Plant("");
  EXPECT_TRUE(found) << GetParam().what;
}

INSTANTIATE_TEST_SUITE_P(, Planted, testing::ValuesIn(PlantedBugs()), [](const auto& info) {
  std::string name = info.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// Nothing is planted: the copy of the engine is as good as the engine.
TEST(ThePlantedEngine, IsWholeUntilSomethingIsPlanted) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    for (const Model model : kModels) EXPECT_EQ(Simulate(DrawPlan(seed, model)).violation, "") << seed;
  }
}

}  // namespace
}  // namespace simulation
