// The reference of all commands, made from them.
#ifndef CLI_MANUAL_H_
#define CLI_MANUAL_H_

#include <string>

#include "cli/command_tree.h"

namespace messaging::cli {

// For man(1).
std::string ManPage(const std::string& program, const std::string& version, const CommandInfo& root);
// The same as a part of docs/cli.md.
std::string MarkdownReference(const std::string& program, const CommandInfo& root);

}  // namespace messaging::cli

#endif  // CLI_MANUAL_H_
