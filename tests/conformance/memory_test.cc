#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memory/memory_broker.h"
#include "tests/conformance/conformance.h"

namespace messaging::conformance {
namespace {

MemoryBroker& Memory(Broker& broker) { return static_cast<MemoryBroker&>(broker); }

Environment MemoryEnvironment() {
  Environment environment;
  environment.name = "memory";
  environment.url = [](std::string_view case_name) { return absl::StrCat("memory://", case_name); };
  environment.messages = 5'000;
  environment.break_dead_letters = [](Broker& broker, const std::string&) {
    Memory(broker).FailNextSettlements(3, absl::UnavailableError("no place for dead letters"));
    return [] {};  // It mends itself.
  };
  environment.hold_answers = [](Broker& broker, const std::string&) {
    Memory(broker).Pause();
    return [&broker] { Memory(broker).Resume(); };
  };
  environment.end_uncleanly = [](Broker& broker) { Memory(broker).CrashMembers(); };
  environment.cannot = {{"restart_server", "in the process: there is no server to restart"},
                        {"send_foreign", "in the process: nobody else can write to it"}};
  const std::string one = "one process only";
  environment.expected_skips = {
      {"AMessageThatKillsItsProcess", one}, {"ASenderIsKilled", one},
      {"AFastSenderInBoundedMemory", one},  {"ASlowHandlerInBoundedMemory", one},
      {"AnotherProcessIsWoken", one},       {"ForeignMessages", environment.cannot["send_foreign"]},
      {"KillAfterTheHandler", one},         {"KillAtRandom", one},
      {"KillBeforeTheHandler", one},        {"KillInTheHandler", one},
      {"OrderPerKeyOverProcesses", one},    {"Reconnect", environment.cannot["restart_server"]},
      {"RetriesSurviveAKill", one},         {"SigtermDrains", one},
      {"SuspectsAreHandledAlone", one}};
  for (const char* name : {"LagCountsWhatIsWhere", "TopicsAreListed", "ADeclaredGroupGetsWhatIsSentBeforeItConsumes",
                           "TailShowsWhatWasSent", "TailFollows", "CheckFindsNothingWrong",
                           "DeadLettersComeBackFromAnExport", "ARemovedTopicIsGone"}) {
    environment.expected_skips[name] = "no answers for a person on call";
  }
  return environment;
}

}  // namespace
}  // namespace messaging::conformance

int main(int argc, char** argv) {
  return messaging::conformance::Main(argc, argv, messaging::conformance::MemoryEnvironment());
}
