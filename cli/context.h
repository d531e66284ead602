// What a command works with besides its own arguments.
#ifndef CLI_CONTEXT_H_
#define CLI_CONTEXT_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/config.h"
#include "cli/exit_codes.h"
#include "cli/output.h"

namespace messaging::cli {

class StopSignals;

struct Context {
  std::string program;  // As it was called, without its folder: starts each line on `err`.
  int in;               // Standard input.
  Output& out;          // What the command was asked for.
  Output& err;          // What a person is told: errors, progress, state. Its own failures are nobody's concern.
  Config config = {};   // Of --config or MESSAGING_CONFIG.
  std::vector<std::string> behind_exec = {};  // The rest of the command line behind --exec, flags and all.

  // One line for a person.
  void Say(std::string_view line) {
    std::string text = program;
    (void)err.Write(text.append(": ").append(line).append("\n"));
  }
  // Writes the command's result. kOutputGone, having said so, when it could not be written.
  ExitCode Print(std::string_view text) {
    const absl::Status written = out.Write(text);
    if (written.ok()) return kOk;
    Say(written.message());
    return kOutputGone;
  }
};

// What the command line asks for: each command sets it when it was parsed.
using Action = std::function<ExitCode(Context&)>;

}  // namespace messaging::cli

#endif  // CLI_CONTEXT_H_
