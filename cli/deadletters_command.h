// `core deadletters list|show|replay|purge|export|import`.
#ifndef CLI_DEADLETTERS_COMMAND_H_
#define CLI_DEADLETTERS_COMMAND_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/connection.h"
#include "cli/context.h"
#include "messaging/broker/dead_letters.h"

namespace CLI {
class App;
}

namespace messaging::cli {

struct DeadLettersFlags {
  enum class Verb { kList, kShow, kReplay, kPurge, kExport, kImport };
  Verb verb = Verb::kList;
  ConnectionFlags connection;
  DeadLetterFilter filter;
  std::vector<std::string> where;
  absl::Duration since = absl::InfiniteDuration();  // Dead for no longer than this.
  double rate = 0;                                  // Replays a second, at most; 0: as fast as it goes.
  std::string file;                                 // Import: where from.
  bool json = false;
  bool all = false;  // Replay and purge without any filter.
  bool yes = false;  // Purge.
  bool dry_run = false;
};

void AddDeadLettersCommand(CLI::App& app, Action& chosen);

// The command over `broker`, apart from its client.
ExitCode RunDeadLetters(const DeadLettersFlags& flags, Broker& broker, Context& context);

}  // namespace messaging::cli

#endif  // CLI_DEADLETTERS_COMMAND_H_
