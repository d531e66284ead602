// The engine under simulation: members with the real engine (messaging/dispatch/engine.h) over a simulated broker, in
// virtual time, everything that happens drawn from one seed: what handlers do, how long it takes, when members crash,
// stop, stall and start, when connections are lost, what the broker refuses. First a phase with faults, then one
// without, in which everything must end.
#ifndef TESTS_SIMULATION_WORLD_H_
#define TESTS_SIMULATION_WORLD_H_

#include <cstdint>
#include <string>

#include "tests/simulation/plan.h"

namespace simulation {

struct Report {
  std::string violation;  // Empty: every promise was kept.
  std::string trace;      // What happened, one line a step; only when it was asked for.
  int64_t steps = 0;      // Lines that a trace has.
  int64_t calls = 0;
  int64_t crashes = 0;
  int64_t dead = 0;
  int64_t pauses = 0;
  int64_t trips = 0;       // Of breakers.
  int64_t late_calls = 0;  // Of messages that had become another's.
  double simulated_seconds = 0;
};

// The same plan gives the same run, to the letter.
Report Simulate(const Plan& plan, bool trace = false);

}  // namespace simulation

#endif  // TESTS_SIMULATION_WORLD_H_
