// simulate [--seeds N] [--seed S] [--broker B] [--trace]: runs N seeds from S on, over the models of all brokers or of
// one. The first violation ends the run with exit code 1: it is made as small as it gets, and printed with its trace.
// The same seed gives the same, each time.
//
// simulate --planted [BUG]: plants each of the bugs of the list, or one, and says how many seeds found it; exit code 1
// when one was not found. For a program that has the planted engine.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/simulation/plan.h"
#include "tests/simulation/plant.h"
#include "tests/simulation/world.h"

namespace simulation {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point began) { return std::chrono::duration<double>(Clock::now() - began).count(); }

// What a violation says, whatever message and handler it is about.
std::string Kind(const std::string& violation) {
  std::string kind = violation.substr(0, violation.find('\n'));
  kind.erase(0, kind.find("): ") + 1);
  std::erase_if(kind, [](char c) { return c >= '0' && c <= '9'; });
  return kind;
}

Plan MakeSmall(const Plan& plan, const Report& report) {
  const std::string kind = Kind(report.violation);
  return Shrink(plan, [&kind](const Plan& smaller) {
    const Report report = Simulate(smaller);
    return !report.violation.empty() && Kind(report.violation) == kind;
  });
}

void PrintFailure(const Plan& plan, const Report& report) {
  const Plan small = MakeSmall(plan, report);
  const Report again = Simulate(small, /*trace=*/true);
  const std::string text =
      absl::StrCat("seed ", plan.seed, ", ", Name(plan.model), ": ", report.violation,
                   "\n\nas small as it gets: ", Describe(small), "\n", again.trace, again.violation,
                   "\n\nreplay: tools/simulate --seeds 1 --seed ", plan.seed, " --broker ", Name(plan.model), "\n");
  std::fputs(text.c_str(), stdout);
}

bool Run(const std::vector<Model>& models, uint64_t first, uint64_t seeds, bool trace) {
  const Clock::time_point began = Clock::now();
  int64_t schedules = 0, steps = 0, calls = 0, late = 0, crashes = 0, dead = 0, pauses = 0, trips = 0;
  double simulated = 0;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    for (const Model model : models) {
      const Plan plan = DrawPlan(seed, model);
      const Report report = Simulate(plan, trace);
      if (trace) std::printf("%s%s", Describe(plan).c_str(), report.trace.c_str());
      if (!report.violation.empty()) {
        PrintFailure(plan, report);
        return false;
      }
      ++schedules;
      steps += report.steps;
      calls += report.calls;
      late += report.late_calls;
      crashes += report.crashes;
      dead += report.dead;
      pauses += report.pauses;
      trips += report.trips;
      simulated += report.simulated_seconds;
    }
    if ((seed - first) % 10'000 == 9'999) {
      std::fprintf(stderr, "%lld schedules, %.0f a second\n", static_cast<long long>(schedules),
                   static_cast<double>(schedules) / SecondsSince(began));
    }
  }
  const double seconds = SecondsSince(began);
  std::printf(
      "%lld schedules passed, seeds %llu to %llu: %lld steps, %lld calls (%lld late), %lld crashes, %lld dead letters, "
      "%lld pauses, %lld breakers tripped, "
      "%.1f simulated hours; %.0f schedules and %.2f simulated hours a second\n",
      static_cast<long long>(schedules), static_cast<unsigned long long>(first),
      static_cast<unsigned long long>(first + seeds - 1), static_cast<long long>(steps), static_cast<long long>(calls),
      static_cast<long long>(late), static_cast<long long>(crashes), static_cast<long long>(dead),
      static_cast<long long>(pauses), static_cast<long long>(trips), simulated / 3600,
      static_cast<double>(schedules) / seconds, simulated / 3600 / seconds);
  return calls > 0;
}

// Plants the bugs one after the other.
bool RunPlanted(std::string_view only, uint64_t first, uint64_t seeds) {
  bool all = true;
  int tried = 0;
  for (const PlantedBug& bug : PlantedBugs()) {
    if (!only.empty() && bug.name != only) continue;
    ++tried;
    Plant(bug.name);
    bool found = false;
    for (uint64_t seed = first; seed < first + seeds && !found; ++seed) {
      const Plan plan = DrawPlan(seed, bug.model);
      const Report report = Simulate(plan);
      if (report.violation.empty()) continue;
      found = true;
      std::printf("%-32s %-9s found by seed %4llu: %s\n", bug.name.c_str(), std::string(Name(bug.model)).c_str(),
                  static_cast<unsigned long long>(seed - first + 1),
                  report.violation.substr(0, report.violation.find('\n')).c_str());
      if (!only.empty()) PrintFailure(plan, report);
    }
    if (!found) {
      std::printf("%-32s %-9s NOT FOUND by %llu seeds (%s)\n", bug.name.c_str(), std::string(Name(bug.model)).c_str(),
                  static_cast<unsigned long long>(seeds), bug.what.c_str());
    }
    std::fflush(stdout);
    all = all && found;
  }
  Plant("");
  std::printf("%d planted bugs, %s\n", tried, all ? "each of them found" : "NOT all of them found");
  return all && tried > 0;
}

int Usage() {
  std::fprintf(stderr,
               "usage: simulate [--seeds N] [--seed S] [--broker sqlite|redis|rabbitmq] [--trace]\n"
               "       simulate --planted [BUG] [--seeds N] [--seed S]\n");
  return 2;
}

int Main(int argc, char** argv) {
  uint64_t seeds = 0;
  uint64_t first = 1;
  bool trace = false;
  bool planted = false;
  std::string bug;
  std::vector<Model> models(std::begin(kModels), std::end(kModels));
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    const bool has_value = i + 1 < argc && argv[i + 1][0] != '-';
    if (name == "--trace") {
      trace = true;
    } else if (name == "--planted") {
      planted = true;
      if (has_value) bug = argv[++i];
    } else if (name == "--seeds" && has_value && absl::SimpleAtoi(argv[i + 1], &seeds)) {
      ++i;
    } else if (name == "--seed" && has_value && absl::SimpleAtoi(argv[i + 1], &first)) {
      ++i;
    } else if (name == "--broker" && has_value && FindModel(argv[i + 1])) {
      models = {*FindModel(argv[++i])};
    } else {
      return Usage();
    }
  }
  const bool good = planted ? RunPlanted(bug, first, seeds > 0 ? seeds : 10'000)
                            : Run(models, first, seeds > 0 ? seeds : 1'000, trace);
  return good ? 0 : 1;
}

}  // namespace
}  // namespace simulation

int main(int argc, char** argv) { return simulation::Main(argc, argv); }
