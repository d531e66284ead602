#include "tests/ledger/checker.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ledger {
namespace {

constexpr size_t kMostFindings = 20;

class Checker {
 public:
  explicit Checker(const CheckOptions& options) : options_(options) {}

  void Take(const Entry& entry) {
    switch (entry.event) {
      case Event::kSent:
        sent_.emplace(entry.id, std::pair(entry.key, entry.sequence));
        break;
      case Event::kAccepted:
        accepted_.insert(entry.id);
        break;
      case Event::kRefused:
        refused_.insert(entry.id);
        break;
      case Event::kUnknown:
        unknown_.insert(entry.id);
        break;
      case Event::kBegin:
        Begin(entry);
        break;
      case Event::kEnd:
        in_hand_.erase({entry.handler, entry.id, entry.pid});
        break;
      case Event::kHandled:
        in_hand_.erase({entry.handler, entry.id, entry.pid});
        Handled(entry);
        break;
      case Event::kDead:
        dead_.insert({entry.id, Owner(entry)});
        break;
      case Event::kKilled:
        std::erase_if(in_hand_, [&](const auto& held) { return std::get<2>(held.first) == entry.pid; });
        if (killed_at_ == absl::InfiniteFuture()) killed_at_ = entry.at;
        break;
      case Event::kPoint:
        break;
    }
  }

  Report Finish() {
    report_.attempted = sent_.size();
    report_.accepted = accepted_.size();
    report_.refused = refused_.size();
    report_.unknown = unknown_.size();
    report_.handled = handled_.size();
    report_.dead = dead_.size();
    CheckLost();
    CheckUnexpected();
    return std::move(report_);
  }

 private:
  using Place = std::pair<std::string, std::string>;  // Message and handler.

  std::string Owner(const Entry& entry) const { return options_.handlers.empty() ? "" : entry.handler; }

  void Find(std::string finding) {
    if (report_.findings.size() < kMostFindings) report_.findings.push_back(std::move(finding));
  }

  void Begin(const Entry& entry) {
    if (!entry.key.empty()) {
      for (const auto& [held, key] : in_hand_) {
        if (std::get<0>(held) != entry.handler || key != entry.key || std::get<1>(held) == entry.id) continue;
        ++report_.order_violations;
        Find(absl::StrCat("order: ", entry.id, " began while ", std::get<1>(held), " of the same key ", key,
                          " was in hand"));
      }
    }
    in_hand_[{entry.handler, entry.id, entry.pid}] = entry.key;
  }

  void Handled(const Entry& entry) {
    if (last_handled_ != absl::InfinitePast()) {
      report_.longest_gap = std::max(report_.longest_gap, entry.at - last_handled_);
    }
    last_handled_ = entry.at;
    if (killed_at_ != absl::InfiniteFuture()) {
      report_.longest_recovery = std::max(report_.longest_recovery, entry.at - killed_at_);
      killed_at_ = absl::InfiniteFuture();
    }
    handled_.insert({entry.id, Owner(entry)});
    if (++times_[{entry.id, entry.handler}] > 1) {
      ++report_.duplicates;
      return;
    }
    CheckOrder(entry);
  }

  // First handlings of a key by one handler come in the order of sending.
  void CheckOrder(const Entry& entry) {
    auto sent = sent_.find(entry.id);
    if (sent == sent_.end() || sent->second.first.empty()) return;
    const auto& [key, sequence] = sent->second;
    auto [last, fresh] = last_of_key_.try_emplace({entry.handler, key}, sequence);
    if (fresh) return;
    if (sequence < last->second) {
      ++report_.order_violations;
      Find(absl::StrCat("order: ", entry.id, " (", sequence, " of key ", key, ") was handled after number ",
                        last->second));
    }
    last->second = std::max(last->second, sequence);
  }

  void CheckLost() {
    const std::vector<std::string> anyone = {""};
    for (const std::string& id : accepted_) {
      for (const std::string& handler : options_.handlers.empty() ? anyone : options_.handlers) {
        if (handled_.contains({id, handler}) || dead_.contains({id, handler})) continue;
        ++report_.lost;
        Find(absl::StrCat("lost: ", id, handler.empty() ? "" : " by ", handler));
      }
    }
  }

  void CheckUnexpected() {
    std::set<std::string> seen(accepted_);
    seen.insert(refused_.begin(), refused_.end());
    seen.insert(unknown_.begin(), unknown_.end());
    for (const auto& place : handled_) seen.insert(place.first);
    for (const auto& place : dead_) seen.insert(place.first);
    for (const std::string& id : seen) {
      if (sent_.contains(id)) continue;
      ++report_.unexpected;
      Find(absl::StrCat("unexpected: ", id, " was never attempted"));
    }
  }

  const CheckOptions& options_;
  Report report_;
  std::map<std::string, std::pair<std::string, int64_t>> sent_;  // Key and place in it.
  std::set<std::string> accepted_, refused_, unknown_;
  std::set<Place> handled_, dead_;
  std::map<Place, int> times_;
  std::map<Place, int64_t> last_of_key_;  // By handler and key.
  std::map<std::tuple<std::string, std::string, pid_t>, std::string> in_hand_;
  absl::Time last_handled_ = absl::InfinitePast();
  absl::Time killed_at_ = absl::InfiniteFuture();
};

}  // namespace

std::string Report::ToString() const {
  return absl::StrCat("attempted ", attempted, ", accepted ", accepted, ", refused ", refused, ", unknown ", unknown,
                      ", handled ", handled, ", dead ", dead, ", lost ", lost, ", unexpected ", unexpected,
                      ", duplicates ", duplicates, ", order violations ", order_violations, ", longest gap ",
                      absl::FormatDuration(longest_gap), ", longest recovery ", absl::FormatDuration(longest_recovery),
                      torn == 0 ? "" : absl::StrCat(", torn lines ", torn), findings.empty() ? "" : "\n  ",
                      absl::StrJoin(findings, "\n  "));
}

Report Check(const std::vector<Entry>& entries, const CheckOptions& options) {
  Checker checker(options);
  for (const Entry& entry : entries) checker.Take(entry);
  return checker.Finish();
}

absl::StatusOr<Report> CheckFiles(const std::vector<std::string>& paths, const CheckOptions& options) {
  std::vector<Entry> entries;
  int torn = 0;
  for (const std::string& path : paths) {
    absl::StatusOr<Contents> contents = Read(path);
    if (!contents.ok()) return contents.status();
    entries.insert(entries.end(), contents->entries.begin(), contents->entries.end());
    torn += contents->torn;
  }
  // Within one file its order says more than the clock: appends of two processes may carry times a little crossed.
  if (paths.size() > 1) {
    std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.at < b.at; });
  }
  Report report = Check(entries, options);
  report.torn = torn;
  return report;
}

}  // namespace ledger
