// `core consumer --exec CMD ARG...`: a process for each message.
#ifndef CLI_EXEC_HANDLER_H_
#define CLI_EXEC_HANDLER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/limits.h"
#include "cli/output.h"
#include "messaging/handler.h"
#include "messaging/received.h"

namespace messaging::cli {

struct ExecOptions {
  std::string name = "exec";  // The handler's.
  std::vector<std::string> topics;
  std::vector<std::string> command;
  absl::Duration timeout = absl::Minutes(5);
  int max_retries = 3;
  absl::Duration retry_delay = absl::Seconds(1);
  std::shared_ptr<Limits> limits;
  std::function<bool()> draining;
};

// Runs the command with the payload on standard input and MessageEnvironment besides InheritedEnvironment. Exit code 0
// acknowledges, 65 (EX_DATAERR) is a dead letter, any other, a signal or the timeout is a failed attempt; why is the
// end of what it wrote to standard error, which also goes to `errors`. NotFound: there is no such program.
absl::StatusOr<Handler> MakeExecHandler(ExecOptions options, Output& errors);

// MESSAGE_TOPIC, MESSAGE_ID, MESSAGE_KEY, MESSAGE_CONTENT_TYPE, MESSAGE_TIMESTAMP, MESSAGE_PARTITION, MESSAGE_POSITION,
// MESSAGE_GROUP, MESSAGE_HANDLER, MESSAGE_ATTEMPT, MESSAGE_MAX_ATTEMPTS, MESSAGE_REDELIVERED (0 or 1),
// MESSAGE_NULL_PAYLOAD (1), MESSAGE_HEADERS (all, as JSON), MESSAGE_HEADER_NAME for each header (in upper case, with _
// for what is not a letter or digit; the last of a name counts). What there is not is not set; a value that holds a
// zero byte comes as NAME_BASE64.
std::vector<std::string> MessageEnvironment(const Received& received);

// This process's variables less those that say where the broker is, or hold a URL with a password, and those that
// MessageEnvironment sets.
std::vector<std::string> InheritedEnvironment();

}  // namespace messaging::cli

#endif  // CLI_EXEC_HANDLER_H_
