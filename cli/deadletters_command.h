// `core deadletters list|show|replay|purge`.
#ifndef CLI_DEADLETTERS_COMMAND_H_
#define CLI_DEADLETTERS_COMMAND_H_

#include "absl/time/time.h"
#include "cli/connection.h"
#include "cli/context.h"
#include "messaging/broker/dead_letters.h"

namespace CLI {
class App;
}

namespace messaging::cli {

struct DeadLettersFlags {
  enum class Verb { kList, kShow, kReplay, kPurge };
  Verb verb = Verb::kList;
  ConnectionFlags connection;
  DeadLetterFilter filter;
  absl::Duration since = absl::InfiniteDuration();  // Dead for no longer than this.
  bool json = false;
  bool all = false;  // Replay and purge without any filter.
  bool yes = false;  // Purge.
};

void AddDeadLettersCommand(CLI::App& app, Action& chosen);

// The command over `dead_letters`, apart from its client.
ExitCode RunDeadLetters(const DeadLettersFlags& flags, DeadLetters& dead_letters, Context& context);

}  // namespace messaging::cli

#endif  // CLI_DEADLETTERS_COMMAND_H_
