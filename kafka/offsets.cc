#include "kafka/offsets.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace messaging::kafka {
namespace {

using Runs = std::vector<std::pair<int64_t, int64_t>>;

constexpr std::string_view kVersion = "m1";
constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr int64_t kMaxOffset = int64_t{1} << 60;

std::string AsBits(const Runs& runs, int64_t position, size_t most) {
  std::string digits;
  for (const auto& [from, to] : runs) {
    for (int64_t offset = from; offset < to; ++offset) {
      const auto at = static_cast<size_t>(offset - position);
      if (at / 6 >= most) return digits;
      if (digits.size() <= at / 6) digits.resize(at / 6 + 1, '\0');
      digits[at / 6] = static_cast<char>(digits[at / 6] | 1 << at % 6);
    }
  }
  return digits;
}

std::string AsRuns(const Runs& runs, int64_t position, size_t most) {
  std::string text;
  int64_t end = position;
  for (const auto& [from, to] : runs) {
    const std::string run = absl::StrCat(text.empty() ? "" : ",", from - end, "-", to - from);
    if (text.size() + run.size() > most) break;
    text += run;
    end = to;
  }
  return text;
}

std::string DoneText(const Runs& runs, int64_t position, size_t most) {
  if (runs.empty()) return "";
  const std::string as_runs = AsRuns(runs, position, most);
  // Bits are worth it when they are shorter than all runs would be; the runs' own length tells.
  const auto bits = static_cast<size_t>(runs.back().second - position + 5) / 6;
  if (bits >= as_runs.size() && as_runs.size() + 8 < most) return absl::StrCat(";r", as_runs);
  std::string digits = AsBits(runs, position, most);
  for (char& digit : digits) digit = kDigits[static_cast<size_t>(digit)];
  return absl::StrCat(";b", digits);
}

// Adds to `runs` what is done; false: no such text.
bool ReadBits(std::string_view text, int64_t position, std::deque<std::pair<int64_t, int64_t>>& runs) {
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t bits = kDigits.find(text[i]);
    if (bits == std::string_view::npos) return false;
    for (int bit = 0; bit < 6; ++bit) {
      if ((bits >> bit & 1) == 0) continue;
      const int64_t offset = position + static_cast<int64_t>(6 * i) + bit;
      if (!runs.empty() && runs.back().second == offset) {
        ++runs.back().second;
      } else {
        runs.emplace_back(offset, offset + 1);
      }
    }
  }
  return true;
}

bool ReadRuns(std::string_view text, int64_t position, std::deque<std::pair<int64_t, int64_t>>& runs) {
  int64_t end = position;
  for (const std::string_view run : absl::StrSplit(text, ',')) {
    const std::pair<std::string_view, std::string_view> parts = absl::StrSplit(run, absl::MaxSplits('-', 1));
    int64_t skip = 0;
    int64_t length = 0;
    if (!absl::SimpleAtoi(parts.first, &skip) || !absl::SimpleAtoi(parts.second, &length)) return false;
    if (skip < 0 || length <= 0 || skip > kMaxOffset - end || length > kMaxOffset - end - skip) return false;
    runs.emplace_back(end + skip, end + skip + length);
    end += skip + length;
  }
  return true;
}

bool ReadNote(std::string_view text, int64_t position, std::map<int64_t, Offsets::Note>& notes) {
  const std::vector<std::string_view> parts = absl::StrSplit(text, ',');
  int64_t delta = 0;
  int64_t micros = 0;
  Offsets::Note note;
  if (parts.size() != 4 || !absl::SimpleAtoi(parts[0], &delta) || !absl::SimpleAtoi(parts[1], &note.attempts) ||
      !absl::SimpleAtoi(parts[2], &micros) || !absl::SimpleHexAtoi(parts[3], &note.handler) || delta < 0 ||
      delta > kMaxOffset || note.attempts < 0) {
    return false;
  }
  if (micros > 0) note.not_before = absl::FromUnixMicros(micros);
  notes[position + delta] = note;
  return true;
}

}  // namespace

uint32_t HandlerHash(std::string_view name) {  // FNV-1a with 32 bits.
  uint32_t hash = 0x811c9dc5;
  for (const unsigned char c : name) hash = (hash ^ c) * 0x01000193;
  return hash;
}

Offsets Offsets::Resume(int64_t position, std::string_view metadata) {
  Offsets offsets(position);
  const std::vector<std::string_view> parts = absl::StrSplit(metadata, ';');
  if (parts.empty() || parts[0] != kVersion) return offsets;
  Offsets read(position);
  int64_t open = 0;
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::string_view value = parts[i].substr(std::min<size_t>(1, parts[i].size()));
    const char kind = parts[i].empty() ? '\0' : parts[i][0];
    const bool good = kind == 'h'   ? absl::SimpleAtoi(value, &read.handed_) && read.handed_ >= 0
                      : kind == 'e' ? absl::SimpleAtoi(value, &open) && open >= 0 && open < kMaxOffset
                      : kind == 'b' ? ReadBits(value, position, read.done_before_)
                      : kind == 'r' ? ReadRuns(value, position, read.done_before_)
                      : kind == 'n' ? ReadNote(value, position, read.notes_)
                                    : true;  // Of a later version of this library.
    if (!good) return offsets;
  }
  (open <= kMaxSuspects ? read.suspect_until_ : read.careful_until_) = position + open;
  return read;
}

Offsets::Counts Offsets::Look(int64_t position, std::string_view metadata, int64_t end) {
  const Offsets offsets = Resume(position, metadata);
  const int64_t handed = std::min(end, position + offsets.handed_);
  Counts counts{.in_hand = handed - position, .waiting = std::max<int64_t>(end - handed, 0)};
  for (const auto& [from, to] : offsets.done_before_) {
    counts.in_hand -= std::max<int64_t>(std::min(to, handed) - from, 0);
    counts.waiting -= std::max<int64_t>(std::min(to, end) - std::max(from, handed), 0);
  }
  return {std::max<int64_t>(counts.in_hand, 0), std::max<int64_t>(counts.waiting, 0)};
}

Offsets::Admission Offsets::Admit(int64_t offset) {
  next_ = std::max(next_, offset);  // What lies between is not there (any more).
  while (!done_before_.empty() && done_before_.front().second <= offset) done_before_.pop_front();
  if (!done_before_.empty() && done_before_.front().first <= offset) {
    notes_.erase(offset);
    next_ = offset + 1;
    if (!hand_.empty()) hand_.push_back({offset, true});  // Behind one in hand commits have to name it again.
    return Admission::kDone;
  }
  if (offset < claimed_) return Admission::kDeliver;
  starved_ = true;
  return Admission::kWait;
}

uint64_t Offsets::Add(int64_t offset) {
  hand_.push_back({offset, false});
  next_ = offset + 1;
  ++added_;
  return first_number_ + hand_.size() - 1;
}

const Offsets::Note* Offsets::FindNote(int64_t offset) const {
  const auto found = notes_.find(offset);
  return found == notes_.end() ? nullptr : &found->second;
}

void Offsets::Done(uint64_t number) {
  InHand& done = hand_[number - first_number_];
  done.done = true;
  if (!notes_.empty()) notes_.erase(done.offset);
  while (!hand_.empty() && hand_.front().done) {
    hand_.pop_front();
    ++first_number_;
  }
}

Runs Offsets::DoneRuns(int64_t position) const {
  Runs runs;
  for (const InHand& one : hand_) {
    if (!one.done) continue;
    if (!runs.empty() && runs.back().second == one.offset) {
      ++runs.back().second;
    } else {
      runs.emplace_back(one.offset, one.offset + 1);
    }
  }
  for (const auto& [from, to] : done_before_) {
    const int64_t rest = std::max({from, next_, position});
    if (rest < to) runs.emplace_back(rest, to);
  }
  return runs;
}

Offsets::Commit Offsets::MakeCommit(bool open) {
  Commit commit{.position = position()};
  if (open) {
    if (starved_) {
      window_ = std::min(2 * window_, kMaxWindow);
    } else if (added_ < window_ / 8) {
      window_ = std::max(window_ / 2, kSmallWindow);
    }
    if (next_ < careful_until_) window_ = std::min(window_, kMaxSuspects / 4);
    starved_ = false;
    added_ = 0;
    asked_ = std::max(asked_, next_ + window_);
    commit.claim = asked_;
  }
  const int64_t before = std::max(suspect_until_, careful_until_);
  const int64_t end = std::max(open ? asked_ : 0, before > commit.position ? before : 0);
  commit.metadata = std::string(kVersion);
  if (open && next_ > commit.position) absl::StrAppend(&commit.metadata, ";h", next_ - commit.position);
  if (end > commit.position) absl::StrAppend(&commit.metadata, ";e", end - commit.position);
  std::string notes;
  for (const auto& [offset, note] : notes_) {
    const std::string one =
        absl::StrCat(";n", offset - commit.position, ",", note.attempts, ",",
                     note.not_before == absl::InfinitePast() ? 0 : absl::ToUnixMicros(note.not_before), ",",
                     absl::Hex(note.handler));
    if (commit.metadata.size() + notes.size() + one.size() > kMaxMetadata) break;
    notes += one;
  }
  const size_t left = kMaxMetadata - commit.metadata.size() - notes.size();
  if (left > 10) commit.metadata += DoneText(DoneRuns(commit.position), commit.position, left - 2);
  commit.metadata += notes;
  return commit;
}

}  // namespace messaging::kafka
