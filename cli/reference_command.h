// `core completion SHELL` and `core man`: what the commands say of themselves.
#ifndef CLI_REFERENCE_COMMAND_H_
#define CLI_REFERENCE_COMMAND_H_

#include <string>

#include "cli/context.h"

namespace CLI {
class App;
}

namespace messaging::cli {

void AddReferenceCommands(CLI::App& app, const std::string& version, Action& chosen);

}  // namespace messaging::cli

#endif  // CLI_REFERENCE_COMMAND_H_
