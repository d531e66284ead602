// Reads ledgers (ledger.h) and says what they prove: what was lost, what came twice, what came out of order, and how
// long it took to recover.
#ifndef TESTS_LEDGER_CHECKER_H_
#define TESTS_LEDGER_CHECKER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/ledger/ledger.h"

namespace ledger {

struct CheckOptions {
  // Each of them has to handle every accepted message, or its dead letter has to be seen. Empty: whoever did is enough.
  std::vector<std::string> handlers;
};

// Counts are of messages (with CheckOptions::handlers: of message and handler), but for duplicates.
struct Report {
  int64_t attempted = 0;
  int64_t accepted = 0;
  int64_t refused = 0;
  int64_t unknown = 0;
  int64_t handled = 0;
  int64_t dead = 0;
  int64_t lost = 0;        // Accepted, neither handled nor dead.
  int64_t unexpected = 0;  // Handled or dead, never attempted; or accepted, refused or unknown without an attempt.
  int64_t duplicates = 0;  // Handlings of a message by a handler beyond the first.
  // Messages of a key whose first handling came before that of one sent earlier, and calls that began while another
  // message of the key was in the handler's hands (a process that was killed holds nothing).
  int64_t order_violations = 0;
  absl::Duration longest_gap = absl::ZeroDuration();       // Between two handlings that follow each other.
  absl::Duration longest_recovery = absl::ZeroDuration();  // From a kill to the next handling by anyone.
  int torn = 0;
  std::vector<std::string> findings;  // A line for each thing wrong, for people; at most 20.

  bool ok() const { return lost == 0 && unexpected == 0 && order_violations == 0; }
  std::string ToString() const;
};

Report Check(const std::vector<Entry>& entries, const CheckOptions& options = {});
// All files together, in the order of their entries' times.
absl::StatusOr<Report> CheckFiles(const std::vector<std::string>& paths, const CheckOptions& options = {});

}  // namespace ledger

#endif  // TESTS_LEDGER_CHECKER_H_
