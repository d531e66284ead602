// simulate [--seeds N] [--seed S] [--trace]: runs the engine's simulation for N seeds from S on; the first violation is
// printed with the command that replays it, and ends the run with exit code 1.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/simulation/world.h"

int main(int argc, char** argv) {
  uint64_t seeds = 2000;
  uint64_t first = 1;
  bool trace = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--trace") == 0) {
      trace = true;
    } else if (std::strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
      seeds = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
      first = std::strtoull(argv[++i], nullptr, 10);
    } else {
      std::fprintf(stderr, "usage: simulate [--seeds N] [--seed S] [--trace]\n");
      return 2;
    }
  }
  const auto began = std::chrono::steady_clock::now();
  int64_t calls = 0, crashes = 0, dead = 0;
  double simulated = 0;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    const simulation::Report report = simulation::Simulate(seed, trace);
    if (trace) std::fputs(report.trace.c_str(), stdout);
    if (!report.violation.empty()) {
      std::printf("seed %llu: %s\nreplay: simulate --seeds 1 --seed %llu --trace\n", (unsigned long long)seed,
                  report.violation.c_str(), (unsigned long long)seed);
      return 1;
    }
    calls += report.calls;
    crashes += report.crashes;
    dead += report.dead;
    simulated += report.simulated_seconds;
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::printf(
      "%llu seeds from %llu passed: %lld calls, %lld crashes, %lld dead letters, %.0f simulated seconds, %.0f "
      "seeds/s\n",
      (unsigned long long)seeds, (unsigned long long)first, (long long)calls, (long long)crashes, (long long)dead,
      simulated, static_cast<double>(seeds) / seconds);
  return calls > 0 ? 0 : 1;
}
