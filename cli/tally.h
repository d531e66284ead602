// Counts what became of many sends, and which lines they were.
#ifndef CLI_TALLY_H_
#define CLI_TALLY_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace messaging::cli {

// Thread-safe.
class Tally {
 public:
  struct Counts {
    int64_t accepted = 0;
    int64_t refused = 0;
    int64_t unknown = 0;  // They may or may not have been stored.
    int64_t bytes = 0;    // Of all these.
    int64_t resolved() const { return accepted + refused + unknown; }
  };

  void Add(int64_t line, const absl::Status& outcome, int64_t bytes = 0);
  Counts counts() const;
  // Until `count` sends were added, or `limit` passed: then false.
  bool AwaitResolved(int64_t count, absl::Duration limit) const;
  // Until, of `count` sends with so many bytes, few enough are not resolved for another one of `next` bytes.
  bool AwaitRoom(int64_t count, int64_t bytes, int64_t next, absl::Duration limit) const;
  // One line for each reason: "lines 3, 7-90 refused: why". As a line each there could be millions.
  std::vector<std::string> Failures() const;

 private:
  mutable absl::Mutex mutex_;
  Counts counts_ ABSL_GUARDED_BY(mutex_);
  // By what is said of them; first and last line of each run.
  std::map<std::string, std::vector<std::pair<int64_t, int64_t>>> failed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace messaging::cli

#endif  // CLI_TALLY_H_
