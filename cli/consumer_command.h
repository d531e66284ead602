// `core consumer`: runs the handlers linked into the program, or prints messages when there are none.
#ifndef CLI_CONSUMER_COMMAND_H_
#define CLI_CONSUMER_COMMAND_H_

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
};

void AddConsumerCommand(CLI::App& app, Action& chosen);

}  // namespace messaging::cli

#endif  // CLI_CONSUMER_COMMAND_H_
