// `core lag [--watch]`: what each group has still to do.
#ifndef CLI_LAG_COMMAND_H_
#define CLI_LAG_COMMAND_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/connection.h"
#include "cli/context.h"
#include "cli/style.h"
#include "messaging/broker/admin.h"

namespace CLI {
class App;
}

namespace messaging::cli {

struct LagFlags {
  ConnectionFlags connection;
  std::string topic;  // Empty: all.
  std::string group;
  bool watch = false;
  absl::Duration interval = absl::Seconds(2);
  bool json = false;
};

void AddLagCommand(CLI::App& app, Action& chosen);

// The command over `admin`, apart from its client.
ExitCode RunLag(const LagFlags& flags, Admin& admin, Context& context);

// A row for each topic, group and partition; "?" where the broker cannot tell.
std::string LagTable(const std::vector<GroupLag>& lags, absl::Time now, const Style& style);
// One object a line; a figure that the broker cannot tell is left out.
std::string LagJson(const std::vector<GroupLag>& lags, absl::Time now);

}  // namespace messaging::cli

#endif  // CLI_LAG_COMMAND_H_
