// Faults of membership and silence: consumers that come and go, that stand still, a server that does not answer.
#include <signal.h>

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/conformance/cases.h"
#include "tests/conformance/load.h"

namespace messaging::conformance {
namespace {

using ledger::Entry;
using ledger::Event;
using ledger::Report;

// Row 6. It is there, and says nothing.
void TheServerIsSilent(Bench& bench) {
  Load load(bench);
  Worker one = load.StartConsumer();
  Worker two = load.StartConsumer();
  load.StartSenders();
  load.AwaitHandling(absl::Now());
  auto client = bench.NewClient("watching");
  const std::function<void()> go_on = bench.environment().hold_answers(client->broker(), bench.url());
  absl::SleepFor(absl::Seconds(5));  // The fault's length.
  go_on();
  load.FaultIsOver();
  load.JoinSenders();
  load.Finish(6, "server silent for 5 s", load.MostDuplicates(1), absl::Seconds(5));
  load.processes().Stop(one);
  load.processes().Stop(two);
}

// Row 9.
void ConsumersComeAndGo(Bench& bench) {
  constexpr int kChanges = 8;
  Load load(bench);
  Worker stays = load.StartConsumer();
  load.StartSenders();
  std::optional<Worker> comes;
  for (int i = 0; i < kChanges; ++i) {
    load.AwaitHandling(absl::Now());
    if (comes) {
      load.processes().Stop(*comes);
      comes.reset();
    } else {
      comes = load.StartConsumer();
    }
  }
  load.JoinSenders();
  load.Finish(9, absl::StrCat("a consumer comes or goes, ", kChanges, " times"), 0, absl::ZeroDuration());
  load.processes().Stop(stays);
}

// Row 10. Whoever stands still for longer than anybody waits is thought dead; what it had others handle, and it, too,
// when it goes on: it cannot know. Its word counts no more.
void AConsumerStandsStill(Bench& bench) {
  Load load(bench);
  Worker goes_on = load.StartConsumer();
  Worker stands = load.StartConsumer();
  load.StartSenders();
  load.AwaitHandling(absl::Now(), stands.pid());
  kill(stands.pid(), SIGSTOP);
  load.JoinSenders();
  const absl::Time end = absl::Now() + Limit();
  while (load.processes().Report().lost > 0 && absl::Now() < end) absl::SleepFor(kFaultPoll);
  const Report meanwhile = load.processes().Report();
  EXPECT_EQ(meanwhile.lost, 0) << "others handled what it had: " << meanwhile.ToString();
  kill(stands.pid(), SIGCONT);
  const absl::Time again = absl::Now();
  // It is one of them again.
  const auto handles = [&] {
    for (const Entry& entry : load.processes().Entries()) {
      if (entry.event == Event::kHandled && entry.pid == stands.pid() && entry.id.starts_with("again") &&
          entry.at > again) {
        return true;
      }
    }
    return false;
  };
  for (int i = 0; !handles() && absl::Now() < again + Limit(); ++i) {
    Worker sender = load.StartSender(i % kTopics, 50, absl::StrCat("again", i, "-"));
    const absl::StatusOr<int> code = sender.Wait(kStuck);
    EXPECT_TRUE(code.ok() && *code == 0) << code.status();
  }
  EXPECT_TRUE(handles());
  load.AwaitAll();
  const Report report = load.processes().Report();
  PrintRow(bench, 10, "SIGSTOP of a consumer until others have handled all", &report, load.MostDuplicatesOfDeaths(1),
           "");
  EXPECT_EQ(report.lost, 0);
  EXPECT_EQ(report.unexpected, 0);
  EXPECT_LE(report.duplicates, load.MostDuplicatesOfDeaths(1));
  load.processes().Stop(goes_on);
  load.processes().Stop(stands);
}

}  // namespace

std::vector<Case> MemberFaultCases() {
  return {
      {"TheServerIsSilent", TheServerIsSilent, {Need::kSeveralProcesses, Need::kHoldAnswers}},
      {"ConsumersComeAndGo", ConsumersComeAndGo, {Need::kSeveralProcesses}},
      {"AConsumerStandsStill", AConsumerStandsStill, {Need::kSeveralProcesses}},
  };
}

}  // namespace messaging::conformance
