#include "cli/tally.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cli/status_text.h"
#include "messaging/confirmation.h"

namespace messaging::cli {
namespace {

// Runs in order, those that touch joined.
std::vector<std::pair<int64_t, int64_t>> Joined(std::vector<std::pair<int64_t, int64_t>> runs) {
  std::sort(runs.begin(), runs.end());
  std::vector<std::pair<int64_t, int64_t>> joined;
  for (const auto& run : runs) {
    if (!joined.empty() && run.first <= joined.back().second + 1) {
      joined.back().second = std::max(joined.back().second, run.second);
    } else {
      joined.push_back(run);
    }
  }
  return joined;
}

std::string Lines(const std::vector<std::pair<int64_t, int64_t>>& runs) {
  const bool one = runs.size() == 1 && runs[0].first == runs[0].second;
  std::string text = one ? "line " : "lines ";
  for (const auto& [first, last] : runs) {
    absl::StrAppend(&text, text.back() == ' ' ? "" : ", ", first);
    if (last != first) absl::StrAppend(&text, "-", last);
  }
  return text;
}

}  // namespace

void Tally::Add(int64_t line, const absl::Status& outcome, int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  counts_.bytes += bytes;
  if (outcome.ok()) {
    ++counts_.accepted;
    return;
  }
  const bool unknown = IsUnknownOutcome(outcome);
  ++(unknown ? counts_.unknown : counts_.refused);
  constexpr size_t kReasons = 100;  // A reason may name something of the message.
  std::string reason = absl::StrCat(unknown ? "not known to be stored: " : "refused: ", Text(outcome));
  if (failed_.size() >= kReasons && !failed_.contains(reason)) reason = unknown ? "not known to be stored" : "refused";
  auto& runs = failed_[reason];
  if (!runs.empty() && runs.back().second + 1 == line) {
    runs.back().second = line;
  } else {
    runs.emplace_back(line, line);
  }
}

Tally::Counts Tally::counts() const {
  absl::MutexLock lock(&mutex_);
  return counts_;
}

bool Tally::AwaitResolved(int64_t count, absl::Duration limit) const {
  const auto resolved = [this, count]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return counts_.resolved() >= count; };
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&resolved), limit);
}

bool Tally::AwaitRoom(int64_t count, int64_t bytes, int64_t next, absl::Duration limit) const {
  constexpr int64_t kMessages = 50'000, kBytes = 32 << 20;  // Half of what the send buffer takes.
  const auto room = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    const int64_t open = count - counts_.resolved();
    return open <= 0 || (open < kMessages && bytes - counts_.bytes + next <= kBytes);
  };
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&room), limit);
}

std::vector<std::string> Tally::Failures() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> lines;
  for (const auto& [reason, runs] : failed_) lines.push_back(absl::StrCat(Lines(Joined(runs)), " ", reason));
  return lines;
}

}  // namespace messaging::cli
