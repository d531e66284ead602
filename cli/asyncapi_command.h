// `core asyncapi`: an AsyncAPI 3 document of the handlers linked into the program.
#ifndef CLI_ASYNCAPI_COMMAND_H_
#define CLI_ASYNCAPI_COMMAND_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/context.h"
#include "messaging/handler.h"

namespace CLI {
class App;
}

namespace messaging::cli {

struct AsyncApiInfo {
  std::string title;
  std::string version;
};

// JSON, which is YAML, too. A channel for each topic, an operation for each handler, a message for each type that they
// take; what the types' codecs say of them as JSON Schema. Internal: a codec's schema is no JSON.
absl::StatusOr<std::string> AsyncApiDocument(const AsyncApiInfo& info, std::vector<Handler> handlers);

void AddAsyncApiCommand(CLI::App& app, Action& chosen);

}  // namespace messaging::cli

#endif  // CLI_ASYNCAPI_COMMAND_H_
