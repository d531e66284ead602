// Several processes at once: sharing, order, senders that are killed, stop by signal, memory.
#include <map>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/conformance/cases.h"
#include "tests/conformance/processes.h"

namespace messaging::conformance {
namespace {

using ledger::Entry;
using ledger::Event;

// Processes of one group share the work; of a key one at a time, in order, whichever process.
void OrderPerKeyOverProcesses(Bench& bench) {
  const int n = bench.environment().messages / 4;
  Processes processes(bench);
  WorkerOptions options = processes.Options();
  options.slow = absl::Milliseconds(1);
  options.max_messages = 16;  // So that none takes it all.
  std::vector<Worker> workers;
  for (int i = 0; i < 2; ++i) workers.push_back(processes.Start(options));
  for (Worker& worker : workers) ASSERT_TRUE(processes.AwaitPoint("ready", "", worker.pid()));
  auto share = [&] {
    std::map<pid_t, int> share;
    for (const Entry& entry : processes.Entries()) {
      if (entry.event == Event::kHandled) ++share[entry.pid];
    }
    return share;
  };
  // No member is promised a share of a few messages: until both had some.
  int rounds = 0;
  while ((rounds == 0 || share().size() < 2) && rounds < 20) {
    processes.Send(n, absl::StrCat("m", rounds++, "-"), [](int i) { return absl::StrCat("key", i % 50); });
    ASSERT_TRUE(processes.AwaitAll());
  }
  for (Worker& worker : workers) processes.Stop(worker);
  const ledger::Report report = processes.Report();
  EXPECT_TRUE(report.ok()) << report.ToString();
  EXPECT_EQ(report.handled, n * rounds);
  EXPECT_EQ(report.duplicates, 0) << report.ToString();
  EXPECT_EQ(share().size(), 2u) << "both had some";
}

// A message sent while a consumer of another process is idle comes soon.
void AnotherProcessIsWoken(Bench& bench) {
  Processes processes(bench);
  Worker worker = processes.Start(processes.Options());
  ASSERT_TRUE(processes.AwaitPoint("ready", "", worker.pid()));
  std::map<std::string, absl::Time> sent;
  for (int i = 0; i < 20; ++i) {
    const std::string id = absl::StrCat("m", i);
    processes.SendOne(id);
    sent[id] = absl::Now();
    ASSERT_TRUE(
        processes.AwaitEntry([&](const Entry& entry) { return entry.event == Event::kHandled && entry.id == id; }));
  }
  std::vector<absl::Duration> took;
  for (const Entry& entry : processes.Entries()) {
    if (entry.event == Event::kBegin) took.push_back(entry.at - sent[entry.id]);
  }
  std::sort(took.begin(), took.end());
  ASSERT_EQ(took.size(), 20u);
  std::printf("woken after %s (median), %s (slowest)\n", absl::FormatDuration(took[10]).c_str(),
              absl::FormatDuration(took[19]).c_str());
  EXPECT_LE(took[10], absl::Milliseconds(50) + Tolerance(absl::ZeroDuration()));
}

// Its ledger says what was accepted: that arrives, and nothing arrives that was never sent.
void ASenderIsKilled(Bench& bench) {
  Processes processes(bench);
  Worker consumer = processes.Start(processes.Options());
  ASSERT_TRUE(processes.AwaitPoint("ready", "", consumer.pid()));
  for (int i = 0; i < 5; ++i) {
    WorkerOptions options = processes.Options();
    options.send = 1'000'000;
    options.prefix = absl::StrCat("s", i, "-");
    options.keys = 3;
    options.slow = absl::Microseconds(50);  // So that the ledger stays short.
    Worker sender = processes.Start(options);
    ASSERT_TRUE(processes.AwaitEntry([&](const Entry& entry) {
      return entry.event == Event::kAccepted && entry.pid == sender.pid();
    })) << i;
    sender.Kill();
  }
  ASSERT_TRUE(processes.AwaitAll());
  processes.Stop(consumer);
  const ledger::Report report = processes.Report();
  std::printf("%s\n", report.ToString().c_str());
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.dead, 0);
  EXPECT_EQ(report.duplicates, 0);
}

// The first SIGTERM drains: what is in a handler ends, what is not goes to others, the exit code is zero.
void SigtermDrains(Bench& bench) {
  const int n = bench.environment().messages / 4;
  Processes processes(bench);
  WorkerOptions options = processes.Options();
  options.slow = absl::Milliseconds(2);
  Worker worker = processes.Start(options);
  ASSERT_TRUE(processes.AwaitPoint("ready", "", worker.pid()));
  processes.Send(n, "m", [](int i) { return i % 2 == 0 ? absl::StrCat("key", i % 6) : ""; });
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(processes.AwaitEntry(
        [&](const Entry& entry) { return entry.event == Event::kHandled && entry.pid == worker.pid(); }));
    Worker next = processes.Start(options);
    processes.Stop(worker);
    worker = std::move(next);
    if (processes.Report().lost == 0) break;
  }
  ASSERT_TRUE(processes.AwaitAll());
  processes.Stop(worker);
  const ledger::Report report = processes.Report();
  EXPECT_TRUE(report.ok()) << report.ToString();
  EXPECT_EQ(report.handled, n);
  EXPECT_EQ(report.duplicates, 0) << "a clean stop repeats nothing";
}

size_t MemoryOver(Processes& processes, const WorkerOptions& options) {
  Worker worker = processes.Start(options);
  EXPECT_TRUE(processes.AwaitAll(4 * Limit()));
  const size_t peak = worker.peak_memory();
  processes.Stop(worker);
  return peak;
}

// 100 MiB wait for a slow handler whose consumer may hold 4 MiB: its memory shows it.
void ASlowHandlerInBoundedMemory(Bench& bench) {
  constexpr int kMessages = 1'000;
  constexpr size_t kSize = 100 << 10;
  Processes processes(bench);
  WorkerOptions sender = processes.Options();
  sender.send = kMessages;
  sender.prefix = "m";
  sender.size = kSize;
  sender.wait_for_room = true;
  ASSERT_EQ(processes.Start(sender).Wait(4 * Limit()).value_or(-1), 0);
  WorkerOptions consumer = processes.Options();
  consumer.slow = absl::Milliseconds(5);
  consumer.max_bytes = 4 << 20;
  const size_t peak = MemoryOver(processes, consumer);
  std::printf("peak memory %zu MiB\n", peak >> 20);
  EXPECT_GT(peak, 0u);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LE(peak, size_t{48} << 20);
#endif
  EXPECT_EQ(processes.Report().handled, kMessages);
}

// A producer much faster than the broker: its buffer is refused beyond its bounds, not grown.
void AFastSenderInBoundedMemory(Bench& bench) {
  Processes processes(bench);
  WorkerOptions options = processes.Options();
  options.send = 20'000;
  options.prefix = "m";
  options.size = 16 << 10;  // 312 MiB in all; a producer's buffer holds 64 MiB.
  Worker sender = processes.Start(options);
  size_t peak = 0;
  EXPECT_TRUE(WaitUntil(
      [&] {
        peak = std::max(peak, sender.peak_memory());
        return !sender.running();
      },
      4 * Limit()));
  std::printf("peak memory %zu MiB\n", peak >> 20);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LE(peak, size_t{128} << 20);
#endif
  const ledger::Report report = processes.Report();
  EXPECT_EQ(report.attempted, 20'000);
  EXPECT_EQ(report.accepted + report.refused + report.unknown, 20'000) << "each is resolved, once";
  EXPECT_EQ(report.unknown, 0);
  EXPECT_GT(report.accepted, 0);
}

}  // namespace

std::vector<Case> ProcessCases() {
  return {
      {"OrderPerKeyOverProcesses", OrderPerKeyOverProcesses, {Need::kSeveralProcesses, Need::kGroupOrder}},
      {"AnotherProcessIsWoken", AnotherProcessIsWoken, {Need::kSeveralProcesses}},
      {"ASenderIsKilled", ASenderIsKilled, {Need::kSeveralProcesses}},
      {"SigtermDrains", SigtermDrains, {Need::kSeveralProcesses}},
      {"ASlowHandlerInBoundedMemory", ASlowHandlerInBoundedMemory, {Need::kSeveralProcesses}},
      {"AFastSenderInBoundedMemory", AFastSenderInBoundedMemory, {Need::kSeveralProcesses}},
  };
}

}  // namespace messaging::conformance
