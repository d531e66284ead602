// What the fault cases put a broker under: two consumers and a sender for each of four topics, a KiB a message; and the
// row of the table that each prints.
#ifndef TESTS_CONFORMANCE_LOAD_H_
#define TESTS_CONFORMANCE_LOAD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/conformance/bench.h"
#include "tests/conformance/processes.h"
#include "tests/conformance/worker.h"
#include "tests/ledger/checker.h"

namespace messaging::conformance {

inline constexpr int kTopics = 4;
inline constexpr int kInHand = 64;  // Of each consumer.
inline constexpr absl::Duration kFaultPoll = absl::Milliseconds(100);
// Without any progress for so long a case gives up; a busy machine takes long, but it goes on.
inline constexpr absl::Duration kStuck = absl::Minutes(1);

class Load {
 public:
  explicit Load(Bench& bench, absl::Duration slow = absl::Milliseconds(1));

  Processes& processes() { return processes_; }
  WorkerOptions& consumer() { return consumer_; }
  int messages() const { return messages_; }
  void set_messages(int messages) { messages_ = messages; }

  Worker StartConsumer();
  Worker StartSender(int topic, int count, const std::string& prefix, absl::Duration pace = absl::ZeroDuration());
  void StartSenders();
  void JoinSenders();  // Waits until they have ended well.
  // Until something was handled since then, by this one unless it is 0. What is sent outlasts the faults: once all is
  // sent there is more.
  void AwaitHandling(absl::Time after, pid_t by = 0);
  void AwaitAll();  // Until each accepted message is handled or dead.
  // What so many losses of all connections may bring twice: what two consumers hold, and what senders do not know of.
  int64_t MostDuplicates(int losses) const;
  // What so many deaths of a consumer may: what it had in hand, and what the server did not know to be done.
  int64_t MostDuplicatesOfDeaths(int deaths) const;
  void FaultIsOver(absl::Time at = absl::Now()) { over_.push_back(at); }

  // AwaitAll, then prints and checks the row.
  ledger::Report Finish(int row, const std::string& fault, int64_t most_duplicates, absl::Duration most_recovery);

 private:
  absl::Duration Recovery() const;
  std::string Repeats() const;

  Bench& bench_;
  Processes processes_;
  WorkerOptions consumer_;
  int messages_ = 0;
  std::vector<Worker> senders_;
  int rounds_ = 0;  // Of senders.
  std::vector<absl::Time> over_;
};

// For rows without load. `report`: nothing where it is null.
void PrintRow(const Bench& bench, int row, const std::string& fault, const ledger::Report* report,
              int64_t most_duplicates, const std::string& recovery);

}  // namespace messaging::conformance

#endif  // TESTS_CONFORMANCE_LOAD_H_
