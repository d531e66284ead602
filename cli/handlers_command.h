// `core handlers`: what is linked into this program. Needs no broker.
#ifndef CLI_HANDLERS_COMMAND_H_
#define CLI_HANDLERS_COMMAND_H_

#include <string>
#include <vector>

#include "cli/context.h"
#include "cli/style.h"
#include "messaging/handler.h"

namespace CLI {
class App;
}

namespace messaging::cli {

void AddHandlersCommand(CLI::App& app, Action& chosen);

// A table, or one JSON object a line; in the order of their names.
std::string HandlersTable(std::vector<Handler> handlers, const Style& style);
std::string HandlersJson(std::vector<Handler> handlers);

}  // namespace messaging::cli

#endif  // CLI_HANDLERS_COMMAND_H_
