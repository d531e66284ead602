// The faults that a service in production meets, under load, with the figures that they may cost. Each prints a line of
// a table: what was lost, what came unexpected, what came twice, and how long handling paused after the fault was over.
#include <dirent.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "messaging/broker/broker.h"
#include "tests/conformance/cases.h"
#include "tests/conformance/load.h"

namespace messaging::conformance {
namespace {

using ledger::Entry;
using ledger::Event;
using ledger::Report;

size_t CountFiles(const std::string& folder) {
  size_t count = 0;
  if (DIR* const open = opendir(folder.c_str())) {
    while (readdir(open) != nullptr) ++count;
    closedir(open);
  }
  return count;
}

// Row 1.
void ConsumersAreKilled(Bench& bench) {
  constexpr int kKills = 10;
  Load load(bench);
  std::mt19937 random(1);
  Worker survivor = load.StartConsumer();
  Worker victim = load.StartConsumer();
  load.StartSenders();
  for (int i = 0; i < kKills; ++i) {
    load.AwaitHandling(absl::Now(), victim.pid());
    // The moment is what varies: nothing is waited for.
    absl::SleepFor(absl::Milliseconds(std::uniform_int_distribution<int>(20, 150)(random)));
    victim.Kill();
    load.FaultIsOver();
    victim = load.StartConsumer();
  }
  load.JoinSenders();
  load.Finish(1, "kill -9 of a consumer, 10 times", load.MostDuplicatesOfDeaths(kKills), bench.environment().takeover);
  load.processes().Stop(survivor);
  load.processes().Stop(victim);
}

// Row 2.
void SendersAreKilled(Bench& bench) {
  Load load(bench);
  std::mt19937 random(2);
  Worker consumer = load.StartConsumer();
  for (int i = 0; i < 10; ++i) {
    const std::string prefix = absl::StrCat("s", i, "-");
    // Faster than the server answers, and not so fast that handling it all takes minutes.
    Worker sender = load.StartSender(i % kTopics, load.messages(), prefix, absl::Microseconds(20));
    EXPECT_TRUE(load.processes().AwaitEntry(
        [&](const Entry& entry) { return entry.event == Event::kAccepted && entry.id.starts_with(prefix); }));
    absl::SleepFor(absl::Milliseconds(std::uniform_int_distribution<int>(5, 60)(random)));
    sender.Kill();
    load.FaultIsOver();
  }
  load.Finish(2, "kill -9 of a sender, 10 times", 0, bench.environment().takeover);
  load.processes().Stop(consumer);
}

// Row 3.
void StopUnderFullLoad(Bench& bench) {
  Load load(bench);
  load.consumer().slow = absl::Milliseconds(20);
  load.set_messages(load.messages() / 5);
  Worker stays = load.StartConsumer();
  Worker stops = load.StartConsumer();
  load.StartSenders();
  load.AwaitHandling(absl::Now());
  const absl::Time asked = absl::Now();
  stops.Terminate();
  const absl::StatusOr<int> code = stops.Wait(Limit());
  const absl::Duration took = absl::Now() - asked;
  load.FaultIsOver();
  EXPECT_TRUE(code.ok() && *code == 0) << code.status();
  EXPECT_LE(took, absl::Seconds(2) + load.consumer().slow);
  load.JoinSenders();
  load.Finish(3,
              absl::StrCat("SIGTERM of a consumer (ended in ",
                           absl::FormatDuration(absl::Trunc(took, absl::Milliseconds(1))), ")"),
              0, absl::Seconds(2));
  load.processes().Stop(stays);
}

// Row 4.
void TheServerRestarts(Bench& bench) {
  constexpr int kRestarts = 4;  // Two of each kind.
  Load load(bench);
  Worker one = load.StartConsumer();
  Worker two = load.StartConsumer();
  load.StartSenders();
  for (int i = 0; i < kRestarts; ++i) {
    load.AwaitHandling(absl::Now());
    const absl::Status restarted = bench.environment().restart_server(/*kill=*/i % 2 == 1);
    ASSERT_TRUE(restarted.ok()) << restarted;
    load.FaultIsOver();
  }
  load.JoinSenders();
  load.Finish(4, "server ended and killed, twice each", load.MostDuplicates(kRestarts), absl::Seconds(5));
  load.processes().Stop(one);
  load.processes().Stop(two);
}

// Row 5. How long it takes to send and handle all, with so many cuts on the way; `clean`: without.
absl::Duration SendAndHandleAll(Bench& bench, const std::string& name, int cuts, absl::Duration clean) {
  Load load(bench, absl::Milliseconds(4));
  load.consumer().topics = {bench.Topic(name + "0"), bench.Topic(name + "1"), bench.Topic(name + "2"),
                            bench.Topic(name + "3")};
  Worker one = load.StartConsumer();
  Worker two = load.StartConsumer();
  auto open_files = [&] { return CountFiles(absl::StrCat("/proc/", one.pid(), "/fd")); };
  auto threads = [&] { return CountFiles(absl::StrCat("/proc/", one.pid(), "/task")); };
  const absl::Time begin = absl::Now();
  load.StartSenders();
  load.AwaitHandling(begin);
  const size_t files_before = open_files();
  const size_t threads_before = threads();
  for (int i = 0; i < cuts; ++i) {
    absl::SleepFor(absl::Milliseconds(500));  // The rate of the fault.
    const absl::Status cut = bench.environment().cut_connections();
    EXPECT_TRUE(cut.ok()) << cut;
    load.FaultIsOver();
  }
  load.JoinSenders();
  load.AwaitAll();
  const absl::Duration took = absl::Now() - begin;
  if (cuts > 0) {
    load.Finish(5,
                absl::StrCat("all connections cut, 10 times in 5 s (throughput ",
                             static_cast<int>(100 * absl::FDivDuration(clean, took)), " % of undisturbed)"),
                load.MostDuplicates(cuts), absl::Seconds(5));
    EXPECT_LE(open_files(), files_before + 1) << "of a consumer";
    EXPECT_LE(threads(), threads_before) << "of a consumer";
  }
  load.processes().Stop(one);
  load.processes().Stop(two);
  return took;
}

void ConnectionsAreCut(Bench& bench) {
  absl::Duration clean = SendAndHandleAll(bench, "clean", 0, absl::ZeroDuration());
  const absl::Duration cut = SendAndHandleAll(bench, "cut", /*cuts=*/10, clean);
  // What else the machine has to do may have begun, or grown, meanwhile: then it is no fault of the cuts.
  if (clean < 0.5 * cut) clean = std::max(clean, SendAndHandleAll(bench, "again", 0, absl::ZeroDuration()));
  EXPECT_GE(absl::FDivDuration(clean, cut), 0.5);
}

// Row 11.
void TheServerIsFull(Bench& bench) {
  Load load(bench);
  Worker one = load.StartConsumer();
  Worker two = load.StartConsumer();
  load.StartSenders();
  load.AwaitHandling(absl::Now());
  const std::function<void()> relieve = bench.environment().fill_server();
  absl::SleepFor(absl::Seconds(2));  // The fault's length.
  relieve();
  load.FaultIsOver();
  load.JoinSenders();
  const Report report = load.Finish(11, "server full for 2 s", 2 * kInHand, absl::Seconds(5));
  EXPECT_EQ(report.refused, 0) << "they had longer than 2 s";
  load.processes().Stop(one);
  load.processes().Stop(two);
}

// Row 13.
void PoisonAmongTheGood(Bench& bench) {
  Load load(bench);
  load.set_messages(kTopics * 250);
  load.consumer().fail_on = "poison";
  load.consumer().max_retries = 3;
  load.consumer().retry_delay = absl::Milliseconds(200);
  Worker consumer = load.StartConsumer();
  Worker poison = load.StartSender(0, 5, "poison");
  load.StartSenders();
  load.JoinSenders();
  (void)poison.Wait(Limit());
  const Report report = load.Finish(13, "5 messages that always fail among 1,000", 0, absl::ZeroDuration());
  EXPECT_EQ(report.dead, 5);
  std::map<std::string, std::vector<absl::Time>> begun;
  for (const Entry& entry : load.processes().Entries()) {
    if (entry.event == Event::kBegin && entry.id.starts_with("poison")) begun[entry.id].push_back(entry.at);
  }
  EXPECT_EQ(begun.size(), 5u);
  for (const auto& [id, times] : begun) {
    EXPECT_EQ(times.size(), 4u) << id;
    for (size_t i = 1; i < times.size(); ++i) EXPECT_GE(times[i] - times[i - 1], absl::Milliseconds(200)) << id;
  }
  load.processes().Stop(consumer);
}

// Row 14. Whoever handles one of two messages dies of it, at each of its attempts.
void MessagesThatKill(Bench& bench) {
  constexpr int kCrashers = 2;
  constexpr int kAttempts = 2;
  constexpr int kDeaths = kCrashers * (kAttempts + 1);  // A call that began together with another's end is not noted.
  Load load(bench);
  load.set_messages(kTopics * 250);
  load.consumer().abort_on = "crash";
  load.consumer().max_retries = kAttempts - 1;
  Worker consumer = load.StartConsumer();
  Worker crashers = load.StartSender(0, kCrashers, "crash");
  load.StartSenders();
  int deaths = 0;
  absl::Time moved = absl::Now();
  while (absl::Now() < moved + kStuck) {
    load.processes().NoteDeadLetters();
    const Report report = load.processes().Report();
    if (report.dead == kCrashers && report.lost == 0) break;
    if (!consumer.running()) {
      ++deaths;
      moved = absl::Now();
      consumer = load.StartConsumer();
    }
    absl::SleepFor(kFaultPoll);
  }
  load.JoinSenders();
  (void)crashers.Wait(Limit());
  load.FaultIsOver(moved);
  const Report report = load.Finish(
      14, absl::StrCat(kCrashers, " messages that kill whoever handles them, ", kAttempts, " attempts each"),
      load.MostDuplicatesOfDeaths(kDeaths), bench.environment().takeover);
  EXPECT_EQ(report.dead, kCrashers) << "and no neighbour";
  EXPECT_GE(deaths, kAttempts);
  EXPECT_LE(deaths, kDeaths);
  load.processes().Stop(consumer);
}

// Row 20.
void DeadLettersAreRefused(Bench& bench) {
  Load load(bench);
  load.set_messages(kTopics * 250);
  load.consumer().fail_on = "bad";
  load.consumer().max_retries = 0;
  Worker consumer = load.StartConsumer();
  auto client = bench.NewClient("watching");
  const std::function<void()> mend = bench.environment().break_dead_letters(client->broker(), bench.url());
  Worker bad = load.StartSender(0, 20, "bad");
  load.StartSenders();
  load.JoinSenders();
  (void)bad.Wait(Limit());
  EXPECT_TRUE(load.processes().AwaitEntry(
      [](const Entry& entry) { return entry.event == Event::kEnd && entry.id.starts_with("bad"); }));
  absl::SleepFor(absl::Seconds(2));  // The fault's length.
  mend();
  const Report report = load.Finish(20, "dead letters refused for 2 s", 0, absl::ZeroDuration());
  EXPECT_EQ(report.dead, 20);
  load.processes().Stop(consumer);
}

// Row 27.
void ATopicIsDeletedWhileItIsConsumed(Bench& bench) {
  Load load(bench);
  load.set_messages(kTopics * 100);
  Worker consumer = load.StartConsumer();
  load.StartSenders();
  load.JoinSenders();
  load.AwaitAll();
  for (const std::string& topic : load.consumer().topics) {
    const absl::Status deleted = bench.environment().delete_topic(bench.url(), topic);
    ASSERT_TRUE(deleted.ok()) << deleted;
  }
  load.FaultIsOver();
  for (int i = 0; i < kTopics; ++i) {
    Worker sender = load.StartSender(i, 100, absl::StrCat("again", i, "-"));
    const absl::StatusOr<int> code = sender.Wait(kStuck);
    EXPECT_TRUE(code.ok() && *code == 0) << code.status();
  }
  load.Finish(27, "four topics deleted while consumed", 0, absl::Seconds(10));
  load.processes().Stop(consumer);
}

}  // namespace

std::vector<Case> FaultCases() {
  std::vector<Case> cases = {
      {"ConsumersAreKilled", ConsumersAreKilled, {Need::kSeveralProcesses}},
      {"SendersAreKilled", SendersAreKilled, {Need::kSeveralProcesses}},
      {"StopUnderFullLoad", StopUnderFullLoad, {Need::kSeveralProcesses}},
      {"TheServerRestarts", TheServerRestarts, {Need::kSeveralProcesses, Need::kRestartServer}},
      {"ConnectionsAreCut", ConnectionsAreCut, {Need::kSeveralProcesses, Need::kCutConnections}},
      {"TheServerIsFull", TheServerIsFull, {Need::kSeveralProcesses, Need::kFillServer}},
      {"PoisonAmongTheGood", PoisonAmongTheGood, {Need::kSeveralProcesses}},
      {"MessagesThatKill", MessagesThatKill, {Need::kSeveralProcesses}},
      {"DeadLettersAreRefused", DeadLettersAreRefused, {Need::kSeveralProcesses, Need::kBreakDeadLetters}},
      {"ATopicIsDeletedWhileItIsConsumed",
       ATopicIsDeletedWhileItIsConsumed,
       {Need::kSeveralProcesses, Need::kDeleteTopic}},
  };
  for (auto theme : {AccessFaultCases, MemberFaultCases}) {
    for (Case& c : theme()) cases.push_back(std::move(c));
  }
  return cases;
}

}  // namespace messaging::conformance
