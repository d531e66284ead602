// `core check`: whether broker, rights, topics and durability are what the handlers need.
#ifndef CLI_CHECK_COMMAND_H_
#define CLI_CHECK_COMMAND_H_

#include <string>
#include <string_view>
#include <vector>

#include "cli/connection.h"
#include "cli/context.h"
#include "cli/style.h"
#include "messaging/broker/admin.h"

namespace CLI {
class App;
}

namespace messaging::cli {

void AddCheckCommand(CLI::App& app, Action& chosen);

// Each finding; what is wrong with its cure, and with what is there and what is needed as a diff.
std::string FindingsText(const std::vector<Finding>& findings, const Style& style);
std::string FindingsJson(const std::vector<Finding>& findings);
// kFound when there is an error among them (`strict`: or a warning).
ExitCode FindingsCode(const std::vector<Finding>& findings, bool strict);

// "- " lines that are only in `found`, "+ " lines that are only in `expected`, "  " what both have, in their order.
std::string Diff(std::string_view found, std::string_view expected);

}  // namespace messaging::cli

#endif  // CLI_CHECK_COMMAND_H_
