// `core send TOPIC [MESSAGE | --file F | -]`.
#ifndef CLI_SEND_COMMAND_H_
#define CLI_SEND_COMMAND_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/connection.h"
#include "cli/context.h"

namespace CLI {
class App;
}

namespace messaging::cli {

struct SendFlags {
  ConnectionFlags connection;
  std::string topic;
  std::string body;  // The message, or "-" for standard input, or empty for `file`.
  std::string file;
  std::optional<std::string> key;
  std::vector<std::string> headers;  // NAME=VALUE
  std::string id;
  std::string content_type = "application/json";
  absl::Duration deadline = absl::Seconds(120);
  double rate = 0;     // A second, at most; 0: as fast as it goes.
  int64_t repeat = 1;  // Of a message on the command line.
  bool json = false;
};

void AddSendCommand(CLI::App& app, Action& chosen);

}  // namespace messaging::cli

#endif  // CLI_SEND_COMMAND_H_
