// The flags that say which broker, and the client made from them.
#ifndef CLI_CONNECTION_H_
#define CLI_CONNECTION_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/client.h"

namespace CLI {
class App;
}

namespace messaging::cli {

struct ConnectionFlags {
  std::string broker;
  std::string url;
};

// Adds --broker and --url.
void AddConnectionFlags(CLI::App& command, ConnectionFlags& flags);
// Adds a flag for a duration as "30s" or "1m30s"; `what` is its help. Negative ones are refused.
void AddDuration(CLI::App& command, const std::string& name, absl::Duration& value, const std::string& what);

// The default client: set up by the flags, where there are any, then by the environment. FailedPrecondition for flags
// when the program has configured it before.
absl::StatusOr<Client*> OpenClient(const ConnectionFlags& flags, const std::string& group = "");

}  // namespace messaging::cli

#endif  // CLI_CONNECTION_H_
