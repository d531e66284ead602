// The flags that say which broker, and the client made from them.
#ifndef CLI_CONNECTION_H_
#define CLI_CONNECTION_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/config.h"
#include "messaging/client.h"
#include "messaging/client_options.h"

namespace CLI {
class App;
}

namespace messaging::cli {

struct ConnectionFlags {
  std::string broker;
  std::string url;
  std::string config;  // The file that RunProgram reads before the command.
  std::map<std::string, std::string> native;
};

// Adds --broker, --url, --config and --native.
void AddConnectionFlags(CLI::App& command, ConnectionFlags& flags);
// Adds a flag for a duration as "30s" or "1m30s"; `what` is its help. Negative ones are refused.
void AddDuration(CLI::App& command, const std::string& name, absl::Duration& value, const std::string& what);

// What the client is made with: the flags; what they leave out the environment says (messaging/client_options.h), and
// what that leaves out, too, the file.
ClientOptions Resolve(const ConnectionFlags& flags, const std::string& group, const Config& config);

// The default client, made so. FailedPrecondition for flags when the program has configured it before.
absl::StatusOr<Client*> OpenClient(const ConnectionFlags& flags, const std::string& group, const Config& config);

}  // namespace messaging::cli

#endif  // CLI_CONNECTION_H_
