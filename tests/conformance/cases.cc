#include "tests/conformance/cases.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace messaging::conformance {
namespace {

// An environment that neither has the hook nor says why not is unfinished: the pinned list shows it.
std::optional<std::string> Hook(bool present, const std::string& hook, const Environment& environment) {
  if (present) return std::nullopt;
  auto why = environment.cannot.find(hook);
  return why == environment.cannot.end() ? absl::StrCat("no hook ", hook, ", and no reason") : why->second;
}

std::optional<std::string> Lacks(Need need, const Environment& environment, const Capabilities& capabilities) {
  auto unless = [](bool has, std::string why) { return has ? std::nullopt : std::optional<std::string>(why); };
  switch (need) {
    case Need::kSeveralProcesses:
      return unless(capabilities.several_processes, "one process only");
    case Need::kOldMessages:
      return unless(capabilities.new_group_sees_old, "a new group does not see what was sent before it");
    case Need::kNullPayload:
      return unless(capabilities.null_payload, "an absent payload is the same as an empty one");
    case Need::kNullKey:
      return unless(capabilities.null_key, "no key is the same as an empty key");
    case Need::kGroupOrder:
      return unless(capabilities.order == Capabilities::OrderScope::kGroup, "order per key within a process only");
    case Need::kAdmin:
      return unless(capabilities.admin, "no answers for a person on call");
    case Need::kKeepsMessages:
      return unless(capabilities.keeps_messages, "what was sent before cannot be looked at");
    case Need::kSharedMessages:
      return unless(capabilities.shares_messages,
                    "members share partitions: what waits in a busy one's is not for others");
    case Need::kBreakDeadLetters:
      return Hook(environment.break_dead_letters != nullptr, "break_dead_letters", environment);
    case Need::kHoldAnswers:
      return Hook(environment.hold_answers != nullptr, "hold_answers", environment);
    case Need::kRestartServer:
      return Hook(environment.restart_server != nullptr, "restart_server", environment);
    case Need::kCutConnections:
      return Hook(environment.cut_connections != nullptr, "cut_connections", environment);
    case Need::kFillServer:
      return Hook(environment.fill_server != nullptr, "fill_server", environment);
    case Need::kDeleteTopic:
      return Hook(environment.delete_topic != nullptr, "delete_topic", environment);
    case Need::kTakeServerAway:
      return Hook(environment.take_server_away != nullptr, "take_server_away", environment);
    case Need::kLockOut:
      return Hook(environment.lock_out != nullptr, "lock_out", environment);
    case Need::kAllowOnly:
      return Hook(environment.allow_only != nullptr, "allow_only", environment);
    case Need::kUntrusted:
      return Hook(environment.untrusted != nullptr, "untrusted", environment);
    case Need::kEndUncleanly:
      return Hook(environment.end_uncleanly != nullptr, "end_uncleanly", environment);
    case Need::kClosesTopics: {
      const auto why = environment.cannot.find("close_topics");
      return why == environment.cannot.end() ? std::nullopt : std::optional<std::string>(why->second);
    }
    case Need::kSendForeign:
      return Hook(environment.send_foreign != nullptr, "send_foreign", environment);
  }
  return std::nullopt;
}

}  // namespace

std::vector<Case> AllCases() {
  std::vector<Case> all;
  for (auto theme : {WatermillCases, MessageCases, GroupCases, RetryCases, IdentityCases, DeadLetterCases, SendCases,
                     DrainCases, ShapeCases, CrashCases, ProcessCases, AdminCases, ObserveCases}) {
    for (Case& c : theme()) all.push_back(std::move(c));
  }
  return all;
}

std::optional<std::string> SkipReason(const Case& c, const Environment& environment, const Capabilities& capabilities) {
  for (Need need : c.needs) {
    if (std::optional<std::string> why = Lacks(need, environment, capabilities)) return why;
  }
  return std::nullopt;
}

}  // namespace messaging::conformance
