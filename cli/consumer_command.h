// `core consumer`: runs the handlers linked into the program; when there are none, prints messages or runs a command
// for each.
#ifndef CLI_CONSUMER_COMMAND_H_
#define CLI_CONSUMER_COMMAND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/connection.h"
#include "cli/context.h"

namespace CLI {
class App;
}

namespace messaging::cli {

struct ConsumerFlags {
  ConnectionFlags connection;
  std::vector<std::string> topics;
  std::string group;
  std::string from = "beginning";
  int concurrency = 8;
  absl::Duration drain_timeout = absl::Seconds(30);
  std::string http;  // Where health and metrics are served; empty: nowhere.
  absl::Duration stuck_after = absl::Minutes(5);
  int64_t max_messages = 0;                             // 0: no limit.
  absl::Duration idle_exit = absl::InfiniteDuration();  // Ends when nothing came for so long.
  bool exec = false;                                    // A process a message: Context::behind_exec.
  absl::Duration exec_timeout = absl::Minutes(5);
  int max_retries = 3;  // Of --exec.
  absl::Duration retry_delay = absl::Seconds(1);
  std::string log_format = "text";
};

void AddConsumerCommand(CLI::App& app, Action& chosen);

}  // namespace messaging::cli

#endif  // CLI_CONSUMER_COMMAND_H_
