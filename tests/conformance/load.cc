#include "tests/conformance/load.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"

namespace messaging::conformance {
namespace {

using ledger::Entry;
using ledger::Event;
using ledger::Report;

constexpr int kConcurrency = 8;
constexpr absl::Duration kPace = absl::Microseconds(1'500);  // Of each sender: so that the load outlasts the faults.
constexpr absl::Duration kReportPoll = absl::Milliseconds(500);  // It reads all that was written.

std::string Whole(absl::Duration duration) {
  return absl::FormatDuration(absl::Trunc(duration, absl::Milliseconds(1)));
}

}  // namespace

Load::Load(Bench& bench, absl::Duration slow) : bench_(bench), processes_(bench) {
  consumer_ = processes_.Options();
  consumer_.topics.clear();
  for (int i = 0; i < kTopics; ++i) consumer_.topics.push_back(bench.Topic(absl::StrCat("t", i)));
  consumer_.concurrency = kConcurrency;
  consumer_.max_messages = kInHand;
  consumer_.slow = slow;
  messages_ = bench.environment().fault_messages;
}

Worker Load::StartConsumer() {
  Worker worker = processes_.Start(consumer_);
  EXPECT_TRUE(processes_.AwaitPoint("ready", "", worker.pid()));
  return worker;
}

Worker Load::StartSender(int topic, int count, const std::string& prefix, absl::Duration pace) {
  WorkerOptions options = processes_.Options();
  options.topics = {consumer_.topics[topic]};
  options.send = count;
  options.prefix = prefix;
  options.keys = 25;
  options.size = 1 << 10;
  options.wait_for_room = true;
  options.slow = pace;
  return processes_.Start(options);
}

void Load::StartSenders() {
  for (int i = 0; i < kTopics; ++i) {
    senders_.push_back(StartSender(i, messages_ / kTopics, absl::StrCat("t", i, "-", rounds_, "-"), kPace));
  }
  ++rounds_;
}

void Load::JoinSenders() {
  for (Worker& sender : senders_) {
    // Each sends at its own pace, whatever happens: that takes as long as it takes.
    const absl::StatusOr<int> code = sender.Wait(kStuck + messages_ / kTopics * 4 * kPace);
    EXPECT_TRUE(code.ok() && *code == 0) << code.status();
  }
  senders_.clear();
}

void Load::AwaitHandling(absl::Time after, pid_t by) {
  if (std::none_of(senders_.begin(), senders_.end(), [](Worker& sender) { return sender.running(); })) {
    JoinSenders();
    StartSenders();
  }
  EXPECT_TRUE(WaitUntil(
      [&] {
        const std::vector<Entry>& entries = processes_.Entries();
        return std::any_of(entries.rbegin(), entries.rend(), [&](const Entry& entry) {
          return entry.event == Event::kHandled && entry.at > after && (by == 0 || entry.pid == by);
        });
      },
      Limit(), kFaultPoll));
}

void Load::AwaitAll() {
  int64_t lost = -1;
  absl::Time moved = absl::Now();
  const bool all = WaitUntil(
      [&] {
        processes_.NoteDeadLetters();
        const int64_t now = processes_.Report().lost;
        if (std::exchange(lost, now) != now) moved = absl::Now();
        return now == 0 || absl::Now() > moved + kStuck;
      },
      absl::InfiniteDuration(), kReportPoll);
  EXPECT_TRUE(all && lost == 0) << processes_.Report().ToString();
}

int64_t Load::MostDuplicates(int losses) const {
  return losses * (2 * kInHand + kTopics * bench_.environment().unanswered_sends);
}

int64_t Load::MostDuplicatesOfDeaths(int deaths) const {
  // All lanes busy, without a pause between two messages: as it is with a backlog.
  const double done = kConcurrency * absl::FDivDuration(bench_.environment().unconfirmed, consumer_.slow);
  return deaths * (kInHand + static_cast<int64_t>(done));
}

Report Load::Finish(int row, const std::string& fault, int64_t most_duplicates, absl::Duration most_recovery) {
  AwaitAll();
  most_recovery = Slowed(most_recovery);
  const Report report = processes_.Report();
  const absl::Duration recovery = Recovery();
  PrintRow(bench_, row, fault, &report, most_duplicates,
           over_.empty() ? "" : absl::StrCat(Whole(recovery), " (", Whole(most_recovery), ")"));
  EXPECT_TRUE(report.ok()) << report.ToString();
  EXPECT_LE(report.duplicates, most_duplicates) << Repeats();
  EXPECT_LE(recovery, most_recovery);
  return report;
}

// From the end of a fault to the next handling, the longest.
absl::Duration Load::Recovery() const {
  absl::Duration longest = absl::ZeroDuration();
  std::vector<absl::Time> handled;
  for (const Entry& entry : processes_.Entries()) {
    if (entry.event == Event::kHandled) handled.push_back(entry.at);
  }
  std::sort(handled.begin(), handled.end());
  for (const absl::Time over : over_) {
    const auto next = std::lower_bound(handled.begin(), handled.end(), over);
    if (next != handled.end()) longest = std::max(longest, *next - over);
  }
  return longest;
}

// Where handlings beyond the first came from: what the broker delivered again, to the same process or another; the
// others are messages that it has twice, as a send was repeated.
std::string Load::Repeats() const {
  std::map<std::string, pid_t> first;
  std::map<std::pair<std::string, pid_t>, bool> redelivered;
  int same = 0, another = 0, sent_twice = 0;
  for (const Entry& entry : processes_.Entries()) {
    if (entry.event == Event::kBegin) redelivered[{entry.id, entry.pid}] = entry.note == "redelivered";
    if (entry.event != Event::kHandled) continue;
    const auto [earlier, is_first] = first.emplace(entry.id, entry.pid);
    if (is_first) continue;
    if (!redelivered[{entry.id, entry.pid}]) {
      ++sent_twice;
    } else {
      ++(earlier->second == entry.pid ? same : another);
    }
  }
  return absl::StrCat("delivered again to the same process: ", same, ", to another: ", another,
                      ", new to the broker: ", sent_twice);
}

void PrintRow(const Bench& bench, int row, const std::string& fault, const Report* report, int64_t most_duplicates,
              const std::string& recovery) {
  const Report none;
  if (report == nullptr) report = &none;
  std::printf("| %d | %s | %s | %lld | %lld | %lld | %lld (%lld) | %s |\n", row, fault.c_str(),
              bench.environment().name.c_str(), static_cast<long long>(report->accepted),
              static_cast<long long>(report->lost), static_cast<long long>(report->unexpected),
              static_cast<long long>(report->duplicates), static_cast<long long>(most_duplicates), recovery.c_str());
}

}  // namespace messaging::conformance
