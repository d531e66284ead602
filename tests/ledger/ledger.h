// A ledger: what happened to each message, written by every process of a test before it goes on, so that a kill at any
// instruction leaves the truth behind. A text file, a line an event, which checker.h reads.
#ifndef TESTS_LEDGER_LEDGER_H_
#define TESTS_LEDGER_LEDGER_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ledger {

enum class Event {
  kSent,      // By the sender, before Send: an attempt.
  kAccepted,  // The Confirmation's outcomes.
  kRefused,
  kUnknown,
  kBegin,    // By the handler: it was called.
  kEnd,      // By the handler: it returns something else than OK.
  kHandled,  // By the handler: it returns OK, so before the acknowledgement.
  kDead,     // By a reader of dead letters.
  kKilled,   // By the parent: process `pid` was killed.
  kPoint,    // Anything a test wants to see reached; `note` names it.
};

std::string_view Name(Event event);

struct Entry {
  Event event = Event::kPoint;
  absl::Time at = absl::InfinitePast();  // Append fills in the time and the process where they are not set.
  pid_t pid = 0;
  std::string id;  // The message's, chosen by the test.
  std::string key;
  std::string handler;
  int attempt = 0;
  int64_t sequence = 0;  // kSent: its place among the messages of its key, ascending.
  std::string note;
};

// Thread-safe, and several processes may append to one file: each entry is one write with O_APPEND. Any bytes in the
// texts.
class Ledger {
 public:
  // Creates the file where there is none.
  static absl::StatusOr<Ledger> Open(const std::string& path);
  Ledger(Ledger&& other) noexcept;
  Ledger& operator=(Ledger&& other) = delete;
  ~Ledger();

  // Written (to the kernel, which outlives a killed process) when it returns. Ends the program when the file cannot be
  // written: a test without its ledger proves nothing.
  void Append(Entry entry) const;
  const std::string& path() const { return path_; }

 private:
  Ledger(int file, std::string path);
  int file_;
  const std::string path_;
};

struct Contents {
  std::vector<Entry> entries;  // In the order of the file.
  int torn = 0;                // Lines that are no whole entry: a writer was killed, or is writing.
  int64_t end = 0;             // Of what was read, in the file.
};

absl::StatusOr<Contents> Read(const std::string& path);
// Adds what was written since; a line that is not whole yet comes the next time.
absl::Status ReadOn(const std::string& path, Contents& contents);

}  // namespace ledger

#endif  // TESTS_LEDGER_LEDGER_H_
