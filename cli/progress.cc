#include "cli/progress.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace messaging::cli {
namespace {
constexpr std::string_view kStartOfLine = "\r\x1b[K";  // And clears it.
}  // namespace

std::string Thousands(int64_t number) {
  std::string digits = absl::StrCat(number);
  for (int i = static_cast<int>(digits.size()) - 3; i > (number < 0 ? 1 : 0); i -= 3) digits.insert(i, ",");
  return digits;
}

std::string Rate(int64_t messages, absl::Duration elapsed) {
  const double seconds = std::max(absl::ToDoubleSeconds(elapsed), 1e-3);
  return Thousands(static_cast<int64_t>(static_cast<double>(messages) / seconds));
}

std::string ProgressLine(int64_t sent, int64_t done, int64_t total, absl::Duration elapsed, std::string_view verb) {
  constexpr int kWidth = 30;
  std::string line;
  if (total > 0) {
    const double share = std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
    const int full = static_cast<int>(share * kWidth);
    const std::string bar = std::string(full, '=') + (full < kWidth ? ">" : "");
    line = absl::StrFormat("[%-*s] %3d%%  ", kWidth, bar, static_cast<int>(share * 100));
  }
  return absl::StrCat(line, Thousands(sent), " ", verb, "  ", Rate(sent, elapsed), "/s");
}

Progress::Progress(Output& err, int64_t total, absl::Time start, std::string_view verb)
    : err_(err), total_(total), start_(start), verb_(verb), on_(err.is_terminal()), next_(start) {}

void Progress::Update(int64_t sent, int64_t done, absl::Time now) {
  if (!on_ || now < next_) return;
  next_ = now + absl::Milliseconds(100);
  drawn_ = true;
  (void)err_.Write(absl::StrCat(kStartOfLine, ProgressLine(sent, done, total_, now - start_, verb_)));
}

void Progress::Clear() {
  if (drawn_) (void)err_.Write(kStartOfLine);
  drawn_ = false;
}

}  // namespace messaging::cli
