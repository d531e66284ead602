// What cases with several processes share: a ledger that the test and its workers write, and what it has to prove.
#ifndef TESTS_CONFORMANCE_PROCESSES_H_
#define TESTS_CONFORMANCE_PROCESSES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "tests/conformance/bench.h"
#include "tests/conformance/worker.h"
#include "tests/ledger/checker.h"
#include "tests/ledger/ledger.h"

namespace messaging::conformance {

// Reading a ledger costs more than looking at a variable.
inline constexpr absl::Duration kLedgerPoll = absl::Milliseconds(10);

class Processes {
 public:
  explicit Processes(Bench& bench);

  // For a consumer of this case's topic and group.
  WorkerOptions Options() const;
  Worker Start(const WorkerOptions& options) const { return Worker::Start(bench_.worker_path(), options); }

  // Lets it drain: waits until it consumes (before, a signal would just end it), sends SIGTERM, and expects that it
  // exits with zero.
  void Stop(Worker& worker) const;

  // Sends from this process: "PREFIX<from>" and so on, kSent and the outcome in the ledger. Key by number, none where
  // `key` is null. All have to be accepted.
  void Send(int n, std::string_view prefix, const std::function<std::string(int)>& key = nullptr);
  // Sends one message with a payload of its own; the id is its part up to the first space.
  void SendOne(const std::string& payload, const std::string& key = "");
  // Writes kDead for each dead letter of the group, once.
  void NoteDeadLetters();

  // So far; good until it is asked for again.
  const std::vector<ledger::Entry>& Entries() const;
  // Where a broker keeps a key's order within a process only, the order over processes is not looked at.
  ledger::Report Report() const;
  // Until an entry is there for which `match` holds.
  bool AwaitEntry(const std::function<bool(const ledger::Entry&)>& match, absl::Duration limit = Limit()) const;
  bool AwaitPoint(std::string_view point, const std::string& id, pid_t pid, absl::Duration limit = Limit()) const;
  // Until each accepted message is handled or dead.
  testing::AssertionResult AwaitAll(absl::Duration limit = Limit());
  int Count(ledger::Event event, const std::string& id) const;

 private:
  Bench& bench_;
  const std::string path_;
  ledger::Ledger ledger_;
  mutable ledger::Contents read_;
  std::unique_ptr<Client> client_;  // Sends, and reads dead letters.
  std::map<std::string, int64_t> last_of_key_;
  std::set<std::string> dead_;
};

}  // namespace messaging::conformance

#endif  // TESTS_CONFORMANCE_PROCESSES_H_
