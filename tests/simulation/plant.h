// Bugs that are planted on purpose, one at a time: the simulation has to find each of them. Those of the simulated
// drivers are asked for in their code; those of the engine are in a copy of it that plant.py makes (planted_engine), so
// that what is shipped knows nothing of them.
#ifndef TESTS_SIMULATION_PLANT_H_
#define TESTS_SIMULATION_PLANT_H_

#include <string>
#include <string_view>
#include <vector>

#include "tests/simulation/plan.h"

namespace simulation {

struct PlantedBug {
  std::string name;
  Model model;       // Where it is looked for.
  std::string what;  // For people.
};

const std::vector<PlantedBug>& PlantedBugs();
void Plant(std::string_view name);  // Empty: none.
bool Planted(std::string_view name);

}  // namespace simulation

#endif  // TESTS_SIMULATION_PLANT_H_
