// Completion scripts for shells, made from the commands.
#ifndef CLI_COMPLETION_H_
#define CLI_COMPLETION_H_

#include <string>
#include <string_view>

#include "cli/command_tree.h"

namespace messaging::cli {

// `shell`: bash, zsh or fish. To be sourced; completes commands, flags, choices and file names for `program`.
std::string CompletionScript(std::string_view shell, const std::string& program, const CommandInfo& root);

}  // namespace messaging::cli

#endif  // CLI_COMPLETION_H_
