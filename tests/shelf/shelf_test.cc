#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/conformance/conformance.h"

int main(int argc, char** argv) {
  messaging::conformance::Environment environment;
  environment.name = "shelf";
  environment.url = [](std::string_view case_name) { return absl::StrCat("shelf://", case_name); };
  environment.messages = 5'000;
  // What cannot be done to it, and which cases need that.
  environment.cannot = {{"restart_server", "there is no server"},
                        {"send_foreign", "nobody else can write to it"},
                        {"break_dead_letters", "memory does not fail"},
                        {"hold_answers", "it answers at once"},
                        {"end_uncleanly", "its members end with the process"}};
  auto& skips = environment.expected_skips;
  skips = {{"Reconnect", environment.cannot["restart_server"]},
           {"ForeignMessages", environment.cannot["send_foreign"]},
           {"DeadLetterPlaceUnavailable", environment.cannot["break_dead_letters"]},
           {"AnUncleanEndLosesNothing", environment.cannot["end_uncleanly"]}};
  for (const char* name :
       {"AFullBufferRefuses", "AStallLosesNothing", "AnUnknownSendFailsItsHandler", "UnknownAtTheDeadline"}) {
    skips[name] = environment.cannot["hold_answers"];
  }
  for (const char* name :
       {"AFastSenderInBoundedMemory", "AMessageThatKillsItsProcess", "ASenderIsKilled", "ASlowHandlerInBoundedMemory",
        "AnotherProcessIsWoken", "KillAfterTheHandler", "KillAtRandom", "KillBeforeTheHandler", "KillInTheHandler",
        "OrderPerKeyOverProcesses", "RetriesSurviveAKill", "SigtermDrains", "SuspectsAreHandledAlone"}) {
    skips[name] = "one process only";
  }
  for (const char* name : {"ADeclaredGroupGetsWhatIsSentBeforeItConsumes", "ARemovedTopicIsGone",
                           "CheckFindsNothingWrong", "DeadLettersComeBackFromAnExport", "LagCountsWhatIsWhere",
                           "TailFollows", "TailShowsWhatWasSent", "TopicsAreListed"}) {
    skips[name] = "no answers for a person on call";
  }
  return messaging::conformance::Main(argc, argv, std::move(environment));
}
