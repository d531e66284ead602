// How a status is told to a person and to a script.
#ifndef CLI_STATUS_TEXT_H_
#define CLI_STATUS_TEXT_H_

#include <string>

#include "absl/status/status.h"
#include "cli/exit_codes.h"

namespace messaging::cli {

// One line: its text without its code.
std::string Text(const absl::Status& status);

// The exit code for what went wrong before anything was done: kConfiguration, or kFailed when the outside is to blame.
ExitCode ExitCodeFor(const absl::Status& status);

}  // namespace messaging::cli

#endif  // CLI_STATUS_TEXT_H_
