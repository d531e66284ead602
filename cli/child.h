// Another program, run for what it makes of some input.
#ifndef CLI_CHILD_H_
#define CLI_CHILD_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace messaging::cli {

struct ChildCommand {
  std::string path;                    // See FindProgram.
  std::vector<std::string> arguments;  // argv, its name first. Never seen by a shell.
  std::vector<std::string> environment;
  std::string_view input;  // Its standard input; a program need not read it.
  absl::Duration timeout = absl::InfiniteDuration();
};

struct ChildResult {
  int exit_code = -1;
  int signal = 0;  // That ended it; then there is no exit code.
  bool timed_out = false;
  std::string errors;  // The end of what it wrote to standard error, at most 1 KiB.
};

// Runs it to its end; its standard output is ours. What it writes to standard error goes to `errors`, too, as it comes.
// It has a process group of its own, so that Ctrl-C leaves it to finish; after `timeout` that group is sent SIGTERM,
// and two seconds later SIGKILL. It is killed when this process dies. InvalidArgument: arguments or environment are too
// large; other codes: it could not be started.
absl::StatusOr<ChildResult> RunChild(const ChildCommand& command, const std::function<void(std::string_view)>& errors);

// `name` as it is where it holds a '/', else by PATH. NotFound: there is no such program.
absl::StatusOr<std::string> FindProgram(const std::string& name);

}  // namespace messaging::cli

#endif  // CLI_CHILD_H_
