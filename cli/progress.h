// The bar on a terminal while `core send` works.
#ifndef CLI_PROGRESS_H_
#define CLI_PROGRESS_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "cli/output.h"

namespace messaging::cli {

// "[=====>    ]  47%  4,700 sent  12,345/s", without bar and percentage when `total_bytes` is 0.
std::string ProgressLine(int64_t sent, int64_t bytes, int64_t total_bytes, absl::Duration elapsed);
// "12,345"
std::string Thousands(int64_t number);
// Messages in a second, as Thousands.
std::string Rate(int64_t messages, absl::Duration elapsed);

// Draws over one line of a terminal, ten times a second at most; nothing when `err` is no terminal. One thread.
class Progress {
 public:
  Progress(Output& err, int64_t total_bytes, absl::Time start);
  ~Progress() { Clear(); }
  void Update(int64_t sent, int64_t bytes, absl::Time now);
  void Clear();  // Makes the line free for something else.

 private:
  Output& err_;
  const int64_t total_bytes_;
  const absl::Time start_;
  const bool on_;
  absl::Time next_;
  bool drawn_ = false;
};

}  // namespace messaging::cli

#endif  // CLI_PROGRESS_H_
