// What the program's exit code says. Part of its interface: scripts rely on them, so no number changes its meaning.
#ifndef CLI_EXIT_CODES_H_
#define CLI_EXIT_CODES_H_

#include <string>
#include <utility>
#include <vector>

namespace messaging::cli {

enum ExitCode : int {
  kOk = 0,
  kFailed = 1,  // While running: a server that cannot be reached, a database that is corrupt, a disk that is full.
  kUsage = 2,   // The command line is wrong; nothing was begun.
  kConfiguration = 3,  // Broker, URL, handlers or what they need, a topic or group that is asked for: wrong as they
                       // are; nothing was begun.
  kPartlySent = 4,     // Some lines were malformed or some messages refused, each named; the others were sent.
  kDrainTimeout = 5,   // A handler did not return within the drain timeout; its messages will come again.
  kOutputGone = 6,     // Standard output was closed or is full. What could not be printed is not acknowledged.
  kFound = 7,          // `core check` looked, and found an error.
  kSignalled = 128,    // Plus the signal's number: 130 for SIGINT, 143 for SIGTERM. For a consumer the second one, as
                     // it ends with 0 after draining for the first; for a sender the first, after what was on its way.
};

// Each code as --help, the man page and docs/cli.md have it: "0" and what it means.
const std::vector<std::pair<std::string, std::string>>& ExitCodeTexts();

}  // namespace messaging::cli

#endif  // CLI_EXIT_CODES_H_
