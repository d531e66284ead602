// `core send TOPIC [JSON | --file F | -]`.
#ifndef CLI_SEND_COMMAND_H_
#define CLI_SEND_COMMAND_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/connection.h"
#include "cli/context.h"
#include "cli/ndjson_reader.h"
#include "messaging/message.h"
#include "messaging/producer.h"

namespace CLI {
class App;
}

namespace messaging::cli {

struct SendFlags {
  ConnectionFlags connection;
  std::string topic;
  std::string body;  // JSON, or "-" for standard input, or empty for `file`.
  std::string file;
  std::optional<std::string> key;
  std::vector<std::string> headers;  // NAME=VALUE
  absl::Duration deadline = absl::Seconds(120);
};

void AddSendCommand(CLI::App& app, Action& chosen);

// Where the lines come from.
struct Input {
  ByteSource source;
  std::string name;         // "orders.ndjson", "standard input": for messages.
  int64_t total_bytes = 0;  // 0: not known.
};

// Sends each line that is JSON as a message of its own, like `model`, as fast as the producer takes them; names on
// `context.err` each line that is malformed, and those refused. Returns when each send is resolved.
ExitCode SendLines(Input input, const Message& model, absl::Duration deadline, Producer& producer, Context& context);

}  // namespace messaging::cli

#endif  // CLI_SEND_COMMAND_H_
