// `core config show`: every setting, and where its value comes from.
#ifndef CLI_CONFIG_COMMAND_H_
#define CLI_CONFIG_COMMAND_H_

#include "cli/context.h"

namespace CLI {
class App;
}

namespace messaging::cli {

// Needs no broker to be reachable. Shows no password.
void AddConfigCommand(CLI::App& app, Action& chosen);

}  // namespace messaging::cli

#endif  // CLI_CONFIG_COMMAND_H_
