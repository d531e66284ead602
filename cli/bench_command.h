// `core bench`: how fast the user's own broker is, from here.
#ifndef CLI_BENCH_COMMAND_H_
#define CLI_BENCH_COMMAND_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/context.h"

namespace CLI {
class App;
}

namespace messaging::cli {

// Sends to a topic of its own, consumes it, tells rates and latencies, and deletes the topic.
void AddBenchCommand(CLI::App& app, Action& chosen);

struct Latencies {
  absl::Duration p50, p90, p99, max;
};
// Of all that were measured, in any order; zero of none. A percentile is a value that was measured.
Latencies Percentiles(std::vector<absl::Duration> measured);

}  // namespace messaging::cli

#endif  // CLI_BENCH_COMMAND_H_
