// The bar on a terminal while a command works.
#ifndef CLI_PROGRESS_H_
#define CLI_PROGRESS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "cli/output.h"

namespace messaging::cli {

// "[=====>    ]  47%  4,700 sent  12,345/s", without bar and percentage when `total` is 0.
std::string ProgressLine(int64_t sent, int64_t done, int64_t total, absl::Duration elapsed,
                         std::string_view verb = "sent");
// "12,345"
std::string Thousands(int64_t number);
// Messages in a second, as Thousands.
std::string Rate(int64_t messages, absl::Duration elapsed);

// Draws over one line of a terminal, ten times a second at most; nothing when `err` is no terminal. One thread.
class Progress {
 public:
  // `total`: of what Update's `done` counts, as bytes; 0: not known. `verb`: what is done with the messages.
  Progress(Output& err, int64_t total, absl::Time start, std::string_view verb = "sent");
  ~Progress() { Clear(); }
  void Update(int64_t sent, int64_t done, absl::Time now);
  void Clear();  // Makes the line free for something else.

 private:
  Output& err_;
  const int64_t total_;
  const absl::Time start_;
  const std::string verb_;
  const bool on_;
  absl::Time next_;
  bool drawn_ = false;
};

}  // namespace messaging::cli

#endif  // CLI_PROGRESS_H_
