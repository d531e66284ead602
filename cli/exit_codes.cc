#include "cli/exit_codes.h"

namespace messaging::cli {

const std::vector<std::pair<std::string, std::string>>& ExitCodeTexts() {
  static const auto* const texts = new std::vector<std::pair<std::string, std::string>>{
      {"0", "done; a consumer, tail or watch was stopped and has finished what was in hand"},
      {"1", "failed while running: broker not reachable, database corrupt, disk full"},
      {"2", "the command line or the configuration file is wrong"},
      {"3",
       "broker, URL, handlers or what they need are not right, a topic or group named is not there, or this broker "
       "cannot do that"},
      {"4", "sent or imported, but for the lines named: malformed or refused"},
      {"5", "a handler did not return within the drain timeout"},
      {"6", "standard output was closed; what was not printed is not acknowledged"},
      {"7", "check found an error (with --strict: or a warning)"},
      {"128 + N", "ended by signal N: 130 for Ctrl-C, 143 for SIGTERM"},
  };
  return *texts;
}

}  // namespace messaging::cli
