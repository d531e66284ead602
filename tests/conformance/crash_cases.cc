// Consumers that are killed from outside at points which the ledger proves were hit, and messages that kill their
// process (design: rules 1, 4 and 5).
#include <random>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/conformance/cases.h"
#include "tests/conformance/processes.h"

namespace messaging::conformance {
namespace {

using ledger::Entry;
using ledger::Event;

std::string ByFive(int i) { return absl::StrCat("key", i % 5); }

// Each time: five messages more, of which one is where a new consumer stops and is killed. Then one consumes the rest.
void KillAt(Bench& bench, const std::string& point) {
  const int kills = bench.environment().kills;
  Processes processes(bench);
  for (int i = 0; i < kills; ++i) {
    processes.Send(5, absl::StrCat("m", i, "-"), ByFive);
    WorkerOptions options = processes.Options();
    options.stop_point = point;
    options.stop_at = absl::StrCat("m", i, "-2");
    Worker worker = processes.Start(options);
    ASSERT_TRUE(processes.AwaitPoint(point, options.stop_at, worker.pid(), Limit() + bench.environment().takeover))
        << "kill number " << i << ": " << processes.Report().ToString();
    worker.Kill();
  }
  Worker last = processes.Start(processes.Options());
  ASSERT_TRUE(processes.AwaitAll());
  if (point == "after") {  // Handled already by the one that was killed, and now once more.
    const std::string id = absl::StrCat("m", kills - 1, "-2");
    EXPECT_TRUE(WaitUntil([&] { return processes.Count(Event::kHandled, id) >= 2; }, Limit(), kLedgerPoll));
  }
  processes.Stop(last);
  processes.NoteDeadLetters();
  const ledger::Report report = processes.Report();
  std::printf("%s: %s\n", point.c_str(), report.ToString().c_str());
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.handled, 5 * kills);
  EXPECT_EQ(report.dead, 0) << "one crash uses up one attempt of four";
  // What was handled and not yet acknowledged when a process was killed may come again: at most what it held.
  EXPECT_LE(report.duplicates, 5 * kills);
  for (int i = 0; i < kills; ++i) {
    const std::string id = absl::StrCat("m", i, "-2");
    EXPECT_EQ(processes.Count(Event::kPoint, id), 1) << "killed there, and not again";
    // The next consumer may be killed, at its own point, before it could acknowledge this one.
    EXPECT_GE(processes.Count(Event::kHandled, id), point == "after" ? 2 : 1) << id;
  }
}

void KillBeforeTheHandler(Bench& bench) { KillAt(bench, "before"); }
void KillInTheHandler(Bench& bench) { KillAt(bench, "in"); }
void KillAfterTheHandler(Bench& bench) { KillAt(bench, "after"); }

// At random moments, while two consumers are busy; one of them lives on.
void KillAtRandom(Bench& bench) {
  const int kills = bench.environment().kills;
  Processes processes(bench);
  std::mt19937 random(20261123);
  WorkerOptions options = processes.Options();
  options.slow = absl::Milliseconds(1);
  // Where partitions pass from each victim to the next, one message may be in hand at every kill.
  options.max_retries = kills;
  Worker survivor = processes.Start(options);
  for (int i = 0; i < kills; ++i) {
    Worker victim = processes.Start(options);
    ASSERT_TRUE(processes.AwaitPoint("ready", "", victim.pid()));
    processes.Send(20, absl::StrCat("m", i, "-"), ByFive);
    // The moment is what the case varies: nothing is waited for.
    absl::SleepFor(absl::Microseconds(std::uniform_int_distribution<int>(0, 20'000)(random)));
    victim.Kill();
  }
  ASSERT_TRUE(processes.AwaitAll());
  processes.Stop(survivor);
  processes.NoteDeadLetters();
  const ledger::Report report = processes.Report();
  std::printf("at random: %s\n", report.ToString().c_str());
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.handled, 20 * kills);
  EXPECT_EQ(report.dead, 0);
  EXPECT_LE(report.duplicates, 20 * kills);
  EXPECT_LE(report.longest_recovery, bench.environment().takeover + Tolerance(absl::ZeroDuration()));
}

// A message that ends its process ends in the dead letters after max_retries + 1 attempts (the first, which nobody
// knew to be dangerous, may count for two); what was in hand beside it does not.
void AMessageThatKillsItsProcess(Bench& bench) {
  Processes processes(bench);
  processes.Send(10, "before", ByFive);
  processes.SendOne("poison", "key1");
  processes.Send(10, "behind", ByFive);
  WorkerOptions options = processes.Options();
  options.abort_on = "poison";
  options.max_retries = 2;
  int deaths = 0;
  Worker worker = processes.Start(options);
  const bool all = WaitUntil(
      [&] {
        if (!worker.running()) {
          if (++deaths > 10) return true;
          worker = processes.Start(options);
        }
        processes.NoteDeadLetters();
        return processes.Report().lost == 0;
      },
      2 * Limit());
  ASSERT_TRUE(all) << processes.Report().ToString();
  processes.Stop(worker);
  const ledger::Report report = processes.Report();
  EXPECT_TRUE(report.ok()) << report.ToString();
  const int begun = processes.Count(Event::kBegin, "poison");
  EXPECT_GE(begun, 3);
  EXPECT_LE(begun, 4);
  EXPECT_EQ(deaths, begun);
  for (const Entry& entry : processes.Entries()) {
    if (entry.event != Event::kDead) continue;
    EXPECT_EQ(entry.id, "poison") << "a neighbour died with it";
    EXPECT_EQ(entry.attempt, 3);
    EXPECT_EQ(entry.handler, "worker");
    EXPECT_FALSE(entry.note.empty());
  }
  EXPECT_EQ(report.dead, 1);
  EXPECT_EQ(report.handled, 20);
  std::set<int> attempts;
  for (const Entry& entry : processes.Entries()) {
    if (entry.event == Event::kBegin && entry.id != "poison") {
      EXPECT_LE(entry.attempt, 3) << entry.id;
    }
    if (entry.event == Event::kBegin && entry.id == "poison") attempts.insert(entry.attempt);
  }
  EXPECT_EQ(attempts, (std::set<int>{1, 2, 3}));
}

// Redelivered after an unclean end: nothing else of that consumer's hands is in a handler beside it.
void SuspectsAreHandledAlone(Bench& bench) {
  Processes processes(bench);
  processes.Send(12, "m");
  WorkerOptions options = processes.Options();
  options.slow = absl::Milliseconds(5);
  options.stop_point = "in";
  options.stop_at = "m3";
  Worker first = processes.Start(options);
  ASSERT_TRUE(processes.AwaitPoint("in", "m3", first.pid()));
  first.Kill();
  options.stop_point = "";
  Worker second = processes.Start(options);
  ASSERT_TRUE(processes.AwaitAll());
  processes.Stop(second);
  // In the second process no call may overlap that of m3, which was certainly begun when the first was killed.
  int at_once = 0;
  bool with_suspect = false;
  for (const Entry& entry : processes.Entries()) {
    if (entry.pid != second.pid()) continue;
    if (entry.event == Event::kBegin) {
      ++at_once;
      if (entry.id == "m3") with_suspect = true;
      if (with_suspect) {
        EXPECT_EQ(at_once, 1) << entry.id << " beside the suspect";
      }
    }
    if (entry.event == Event::kHandled) {
      --at_once;
      if (entry.id == "m3") with_suspect = false;
    }
  }
  EXPECT_TRUE(processes.Report().ok()) << processes.Report().ToString();
}

// A stored retry survives the death of every process, keeps its attempts, and its delay.
void RetriesSurviveAKill(Bench& bench) {
  Processes processes(bench);
  WorkerOptions options = processes.Options();
  options.fail_on = "bad";
  options.max_retries = 2;
  options.retry_delay = absl::Seconds(1);
  options.report_idle = true;
  processes.SendOne("bad");
  for (int attempt = 1; attempt <= 2; ++attempt) {
    Worker worker = processes.Start(options);
    ASSERT_TRUE(processes.AwaitEntry([&](const Entry& entry) {
      return entry.event == Event::kEnd && entry.attempt == attempt && entry.pid == worker.pid();
    })) << attempt;
    ASSERT_TRUE(processes.AwaitPoint("idle", "", worker.pid())) << "the retry is stored";
    worker.Kill();
  }
  Worker last = processes.Start(options);
  ASSERT_TRUE(processes.AwaitAll());
  processes.Stop(last);
  // A partition waits until its owner's end is noticed.
  const absl::Duration takeover =
      bench.capabilities().shares_messages ? absl::ZeroDuration() : bench.environment().takeover;
  std::vector<Entry> begun;
  absl::Time ended;
  for (const Entry& entry : processes.Entries()) {
    if (entry.event == Event::kBegin) {
      if (!begun.empty()) {
        EXPECT_GE(entry.at - ended, options.retry_delay);
        EXPECT_LE(entry.at - ended, options.retry_delay + takeover + Tolerance(options.retry_delay));
      }
      begun.push_back(entry);
      EXPECT_EQ(entry.attempt, static_cast<int>(begun.size()));
    }
    if (entry.event == Event::kEnd) ended = entry.at;
  }
  EXPECT_EQ(begun.size(), 3u);
  EXPECT_EQ(processes.Count(Event::kDead, "bad"), 1);
}

// The in-process counterpart: the consumer ends without settling what its handlers hold.
void AnUncleanEndLosesNothing(Bench& bench) {
  Journal first, second;
  Gate gate;
  auto ends = bench.Consume({Recording("h", first, {.topics = {bench.Topic()}}, [&](const Received& received) {
    if (received.payload().ends_with("3")) gate.Pass();
    return absl::OkStatus();
  })});
  Gate::Opener opener(gate);
  bench.SendMany(*ends, bench.Topic(), 20, "m", ByFive);
  ASSERT_TRUE(gate.AwaitWaiting(1));
  bench.environment().end_uncleanly(ends->broker());
  std::atomic<int> at_once{0};
  std::atomic<bool> beside{false};
  auto takes_over = bench.Consume({Recording("h", second, {.topics = {bench.Topic()}}, [&](const Received& received) {
    ++at_once;
    if (received.payload() == "m3" && at_once > 1) beside = true;
    --at_once;
    return absl::OkStatus();
  })});
  EXPECT_TRUE(WaitUntil([&] { return second.Of("m3").size() == 1 && second.Of("m13").size() == 1; },
                        Limit() + bench.environment().takeover));
  gate.Open();
  EXPECT_FALSE(beside) << "a suspect is handled alone";
  std::set<std::string> all;
  EXPECT_TRUE(WaitUntil([&] {
    for (const std::string& payload : first.payloads()) all.insert(payload);
    for (const std::string& payload : second.payloads()) all.insert(payload);
    return all.size() == 20;
  }));
  EXPECT_TRUE(second.Of("m3")[0].redelivered);
  EXPECT_TRUE(takes_over->Stop().ok());
  (void)ends->Stop();
  EXPECT_TRUE(bench.DeadLettersOf(*takes_over).empty());
}

}  // namespace

std::vector<Case> CrashCases() {
  return {
      {"KillBeforeTheHandler", KillBeforeTheHandler, {Need::kSeveralProcesses}},
      {"KillInTheHandler", KillInTheHandler, {Need::kSeveralProcesses}},
      {"KillAfterTheHandler", KillAfterTheHandler, {Need::kSeveralProcesses}},
      {"KillAtRandom", KillAtRandom, {Need::kSeveralProcesses}},
      {"AMessageThatKillsItsProcess", AMessageThatKillsItsProcess, {Need::kSeveralProcesses}},
      {"SuspectsAreHandledAlone", SuspectsAreHandledAlone, {Need::kSeveralProcesses}},
      {"RetriesSurviveAKill", RetriesSurviveAKill, {Need::kSeveralProcesses}},
      {"AnUncleanEndLosesNothing", AnUncleanEndLosesNothing, {Need::kEndUncleanly}},
  };
}

}  // namespace messaging::conformance
