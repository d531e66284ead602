// A process of its own that consumes or sends and writes a ledger, for cases that kill it.
#ifndef TESTS_CONFORMANCE_WORKER_H_
#define TESTS_CONFORMANCE_WORKER_H_

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace messaging::conformance {

// What a worker is told, on its command line as NAME=VALUE.
struct WorkerOptions {
  std::string broker, url, group, ledger;
  std::map<std::string, std::string> native;
  std::vector<std::string> topics;
  std::string handler = "worker";
  int concurrency = 4;
  int max_retries = 3;
  absl::Duration retry_delay = absl::Milliseconds(50);
  absl::Duration drain_timeout = absl::Seconds(30);
  absl::Duration slow;          // Each call, or send, takes so long.
  size_t max_messages = 2'000;  // In hand.
  size_t max_bytes = 64 << 20;

  // A message is named by its payload up to the first space. Having written kPoint to the ledger with the point's name,
  // the worker waits to be killed: "before" the handler, "in" it, "after" it returned OK and before the commit.
  std::string stop_point, stop_at;
  std::string abort_on;      // The handler calls abort() for messages that begin so.
  std::string fail_on;       // It fails for messages that begin so, each time.
  bool report_idle = false;  // Whenever all that was received is settled: kPoint "idle".

  // Not zero: no consumer; sends so many messages "PREFIX<i>" of `size` bytes to the first topic, key "PREFIX<i %
  // keys>".
  int send = 0;
  std::string prefix;
  int keys = 0;
  size_t size = 0;
  bool wait_for_room = false;
};

// One running worker; killed at the end of its life.
class Worker {
 public:
  // Starts `program`. Its ledger gets kPoint "ready" when it consumes.
  static Worker Start(const std::string& program, const WorkerOptions& options);
  Worker(Worker&& other) noexcept;
  Worker& operator=(Worker&& other) noexcept;
  ~Worker();

  pid_t pid() const { return pid_; }
  // Sends SIGKILL, waits for the end, and writes kKilled to the ledger.
  void Kill();
  void Terminate();  // SIGTERM: drains.
  bool running();    // False also once it has ended by itself.
  // The exit code, or minus the signal that ended it. DeadlineExceeded when it runs on.
  absl::StatusOr<int> Wait(absl::Duration limit);
  // The most memory it has had resident, in bytes, while it runs.
  size_t peak_memory() const;

 private:
  Worker(pid_t pid, std::string ledger);
  void Ended(int status);
  pid_t pid_ = -1;
  bool ended_ = false;
  int status_ = 0;
  std::string ledger_;
};

}  // namespace messaging::conformance

#endif  // TESTS_CONFORMANCE_WORKER_H_
