// `core tail TOPIC`: shows messages as they are sent, and touches no group.
#ifndef CLI_TAIL_COMMAND_H_
#define CLI_TAIL_COMMAND_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/connection.h"
#include "cli/context.h"
#include "cli/style.h"
#include "messaging/broker/admin.h"
#include "messaging/received.h"

namespace CLI {
class App;
}

namespace messaging::cli {

struct TailFlags {
  ConnectionFlags connection;
  TailOptions options;
  std::vector<std::string> where;
  absl::Duration since = absl::InfiniteDuration();
  int64_t max_messages = 0;  // 0: no limit.
  bool json = false;
};

void AddTailCommand(CLI::App& app, Action& chosen);

// The command over `admin`, apart from its client.
ExitCode RunTail(const TailFlags& flags, Admin& admin, Context& context);

// A message for a person: when, key, headers, and as much of the payload as fits a line.
std::string MessageText(const Received& received, const Style& style);

}  // namespace messaging::cli

#endif  // CLI_TAIL_COMMAND_H_
