// The engine under simulation: members with the real engine (messaging/dispatch/engine.h) over a simulated broker, in
// virtual time, everything that happens drawn from one seed: what handlers do, how long it takes, when members crash,
// stop and start, when the broker refuses copies. First a phase with faults, then one without, in which everything must
// end.
#ifndef TESTS_SIMULATION_WORLD_H_
#define TESTS_SIMULATION_WORLD_H_

#include <cstdint>
#include <string>

namespace simulation {

struct Report {
  uint64_t seed = 0;
  std::string violation;  // Empty: every promise was kept.
  std::string trace;      // What happened, one line a step; only when it was asked for.
  int64_t calls = 0;
  int64_t crashes = 0;
  int64_t dead = 0;
  int64_t pauses = 0;
  int64_t trips = 0;  // Of breakers.
  double simulated_seconds = 0;
};

// The same seed gives the same run, to the letter.
Report Simulate(uint64_t seed, bool trace = false);

}  // namespace simulation

#endif  // TESTS_SIMULATION_WORLD_H_
