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

std::string ProgressLine(int64_t sent, int64_t bytes, int64_t total_bytes, absl::Duration elapsed) {
  constexpr int kWidth = 30;
  std::string line;
  if (total_bytes > 0) {
    const double share = std::clamp(static_cast<double>(bytes) / static_cast<double>(total_bytes), 0.0, 1.0);
    const int full = static_cast<int>(share * kWidth);
    const std::string bar = std::string(full, '=') + (full < kWidth ? ">" : "");
    line = absl::StrFormat("[%-*s] %3d%%  ", kWidth, bar, static_cast<int>(share * 100));
  }
  return absl::StrCat(line, Thousands(sent), " sent  ", Rate(sent, elapsed), "/s");
}

Progress::Progress(Output& err, int64_t total_bytes, absl::Time start)
    : err_(err), total_bytes_(total_bytes), start_(start), on_(err.is_terminal()), next_(start) {}

void Progress::Update(int64_t sent, int64_t bytes, absl::Time now) {
  if (!on_ || now < next_) return;
  next_ = now + absl::Milliseconds(100);
  drawn_ = true;
  (void)err_.Write(absl::StrCat(kStartOfLine, ProgressLine(sent, bytes, total_bytes_, now - start_)));
}

void Progress::Clear() {
  if (drawn_) (void)err_.Write(kStartOfLine);
  drawn_ = false;
}

}  // namespace messaging::cli
