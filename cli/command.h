// What the commands have in common.
#ifndef CLI_COMMAND_H_
#define CLI_COMMAND_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/connection.h"
#include "cli/context.h"
#include "messaging/client.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace messaging::cli {

// "Examples:" under the command's help; each is a command line without the program's name.
void AddExamples(CLI::App& command, const std::vector<std::string>& lines);
// Adds --json.
void AddJson(CLI::App& command, bool& json);
// Adds an option that may be repeated, with one value each time.
CLI::Option* AddRepeated(CLI::App& command, const std::string& name, std::vector<std::string>& values,
                         const std::string& what);

// Says what went wrong, a line for each of its lines; the exit code for it.
ExitCode Fail(const absl::Status& status, Context& context);
// Calls `run` with the default client, opened by the flags.
ExitCode WithClient(const ConnectionFlags& flags, const std::string& group, Context& context,
                    const std::function<ExitCode(Client&)>& run);

// "3m12s", to the second from a second on; "now" for nothing and less.
std::string ShortDuration(absl::Duration duration);
std::string LocalTime(absl::Time time);
// "NAME=VALUE" apart; InvalidArgument, naming `flag`, where it is no such thing.
absl::StatusOr<std::pair<std::string, std::string>> NameAndValue(const std::string& flag, const std::string& text);

}  // namespace messaging::cli

#endif  // CLI_COMMAND_H_
