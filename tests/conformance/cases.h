// The list of cases, by theme: a file each.
#ifndef TESTS_CONFORMANCE_CASES_H_
#define TESTS_CONFORMANCE_CASES_H_

#include <optional>
#include <string>
#include <vector>

#include "messaging/broker/capabilities.h"
#include "tests/conformance/bench.h"
#include "tests/conformance/conformance.h"

namespace messaging::conformance {

// What a case asks of a broker or its environment; a broker that lacks one skips it.
enum class Need {
  kSeveralProcesses,
  kOldMessages,
  kNullPayload,
  kNullKey,
  kAdmin,
  kKeepsMessages,
  kCutConnections,
  kFillServer,
  kDeleteTopic,
  kTakeServerAway,
  kLockOut,
  kAllowOnly,
  kUntrusted,
  kSharedMessages,  // Members share messages, not partitions.
  kGroupOrder,
  kBreakDeadLetters,
  kHoldAnswers,
  kRestartServer,
  kEndUncleanly,
  kSendForeign,
  kClosesTopics,  // It leaves out a paused topic and goes on to read the others.
};

struct Case {
  std::string name;
  void (*run)(Bench& bench);
  std::vector<Need> needs;
};

std::vector<Case> WatermillCases();    // Counterparts of Watermill's sixteen.
std::vector<Case> MessageCases();      // Bytes, foreign, undecodable.
std::vector<Case> GroupCases();        // Groups, members, order.
std::vector<Case> RetryCases();        // Attempts, delays, codes.
std::vector<Case> IdentityCases();     // Names of handlers, strict order, commits.
std::vector<Case> DeadLetterCases();   // Kept, listed, replayed, purged.
std::vector<Case> SendCases();         // Confirmations, sends in handlers.
std::vector<Case> DrainCases();        // Stop.
std::vector<Case> ShapeCases();        // Batch and asynchronous handlers.
std::vector<Case> CrashCases();        // Processes that are killed.
std::vector<Case> ProcessCases();      // Several processes, memory.
std::vector<Case> AdminCases();        // Lag, topics, tail, check, import.
std::vector<Case> ObserveCases();      // Pauses, breakers, traces.
std::vector<Case> FaultCases();        // Under load, with figures; run with --faults.
std::vector<Case> AccessFaultCases();  // Of these, who may not, or is not there. Among FaultCases.
std::vector<Case> MemberFaultCases();  // Who comes, goes, or stands still. Among FaultCases.
std::vector<Case> AllCases();          // All of the above but FaultCases.

// Why the broker cannot pass it; nullopt: it can.
std::optional<std::string> SkipReason(const Case& c, const Environment& environment, const Capabilities& capabilities);

}  // namespace messaging::conformance

#endif  // TESTS_CONFORMANCE_CASES_H_
