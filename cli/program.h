// The command line: parses it and runs the command.
#ifndef CLI_PROGRAM_H_
#define CLI_PROGRAM_H_

#include "cli/context.h"

namespace messaging::cli {

// `argv` as main's; sets `context.program` from it. Errors are one line each on `context.err`.
ExitCode RunProgram(int argc, const char* const* argv, Context& context);

}  // namespace messaging::cli

#endif  // CLI_PROGRAM_H_
