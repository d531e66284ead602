// What a case works with: clients with names of their own, a journal of what handlers saw, and waiting with deadlines.
#ifndef TESTS_CONFORMANCE_BENCH_H_
#define TESTS_CONFORMANCE_BENCH_H_

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "messaging/broker/capabilities.h"
#include "messaging/broker/dead_letters.h"
#include "messaging/client.h"
#include "messaging/handler.h"
#include "messaging/producer.h"
#include "messaging/received.h"
#include "tests/conformance/conformance.h"

namespace messaging::conformance {

// How long to wait for what has to happen; nothing waits so long that goes well. Longer under sanitizers.
absl::Duration Limit();
void SetLimit(absl::Duration limit);  // Before the first case.
// How long `figure` may be here: more under sanitizers.
absl::Duration Slowed(absl::Duration figure);
// How late a retry may be beyond its delay (design: rule 4); more under sanitizers.
absl::Duration Tolerance(absl::Duration delay);
// Polls `condition` until it holds; false after `limit`. For states that nobody announces.
bool WaitUntil(const std::function<bool()>& condition, absl::Duration limit = Limit(),
               absl::Duration poll = absl::Milliseconds(2));

// One call of a handler, copied out.
struct Seen {
  std::string handler, group, topic, payload, id, content_type;
  bool null_payload = false;
  std::optional<std::string> key;
  std::vector<Header> headers;
  int attempt = 0;
  int max_attempts = 0;
  bool redelivered = false;
  absl::Time timestamp, at;
};

// Thread-safe.
class Journal {
 public:
  void Add(const Received& received);
  std::vector<Seen> all() const;
  std::vector<Seen> Of(std::string_view payload) const;
  // By handler, or all when empty.
  size_t count(std::string_view handler = "") const;
  // Different payloads seen by `handler`, or by any when empty.
  size_t distinct(std::string_view handler = "") const;
  std::vector<std::string> payloads(std::string_view handler = "") const;
  // Until so many calls were made. On failure says how many came.
  testing::AssertionResult Await(size_t calls, absl::Duration limit = Limit()) const;
  testing::AssertionResult AwaitDistinct(size_t payloads, absl::Duration limit = Limit()) const;

 private:
  mutable absl::Mutex mutex_;
  std::vector<Seen> seen_ ABSL_GUARDED_BY(mutex_);
};

// Says what a call shall return.
using Outcome = std::function<absl::Status(const Received& received)>;
absl::Status Succeed(const Received& received);
// Fails the first `times` attempts.
Outcome FailTimes(int times, absl::Status status = absl::UnavailableError("not yet"));

// A handler of bytes that writes each call into the journal, then returns what `outcome` says.
Handler Recording(std::string name, Journal& journal, HandlerOptions options, Outcome outcome = Succeed);

// Holds handlers until the test lets them go. Thread-safe. Made before the client; the test keeps an Opener, made after
// it, so that a case that ends early does not wait for handlers that wait for it.
class Gate {
 public:
  void Pass();  // Waits until it is open.
  void Open();
  testing::AssertionResult AwaitWaiting(int handlers, absl::Duration limit = Limit()) const;
  class Opener {
   public:
    explicit Opener(Gate& gate) : gate_(gate) {}
    ~Opener() { gate_.Open(); }

   private:
    Gate& gate_;
  };

 private:
  mutable absl::Mutex mutex_;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;
};

class Bench {
 public:
  Bench(const Environment& environment, const Capabilities& capabilities, std::string worker, std::string case_name);

  const Environment& environment() const { return environment_; }
  const Capabilities& capabilities() const { return capabilities_; }
  const std::string& worker_path() const { return worker_; }
  const std::string& url() const { return url_; }
  // Names of this case and run.
  std::string Topic(std::string_view suffix = "t") const { return absl::StrCat(prefix_, ".", suffix); }
  std::string Group(std::string_view suffix = "g") const { return absl::StrCat(prefix_, "-", suffix); }
  // A file of this case's own.
  std::string Path(std::string_view name) const;

  // A client of the group. Fails the test and ends it when it cannot be made.
  std::unique_ptr<Client> NewClient(std::string_view group = "g", ProducerOptions producer = {});
  // The same with handlers, started.
  std::unique_ptr<Client> Consume(std::vector<Handler> handlers, std::string_view group = "g",
                                  ConsumerOptions options = {});

  // Where a broker refuses what nobody waits for: makes the group's place. Send and SendMany do it by themselves.
  void Expect(Client& client, const std::string& topic);
  // Sends and expects it to be accepted.
  void Send(Client& client, const std::string& topic, std::string_view payload, SendOptions options = {});
  // Sends "PREFIX0" to "PREFIX<n-1>", each with key(i) where that is not empty; returns when all are accepted.
  void SendMany(Client& client, const std::string& topic, int n, std::string_view prefix = "m",
                const std::function<std::string(int)>& key = nullptr);

  // The group's dead letters, oldest first. The empty topic: all.
  std::vector<DeadLetter> DeadLettersOf(Client& client, std::string_view group = "g", const std::string& topic = "");
  // Waits until there are `n`, then returns them.
  std::vector<DeadLetter> AwaitDeadLetters(Client& client, size_t n, std::string_view group = "g",
                                           const std::string& topic = "");

 private:
  const Environment& environment_;
  const Capabilities& capabilities_;
  const std::string worker_;
  const std::string case_name_;
  const std::string prefix_;
  const std::string url_;
  int clients_ = 0;
  absl::Mutex mutex_;
  std::set<std::string> expected_ ABSL_GUARDED_BY(mutex_);
  // What is not durable ends with its last client: this one lives as long as the case.
  std::unique_ptr<Client> anchor_;
};

}  // namespace messaging::conformance

#endif  // TESTS_CONFORMANCE_BENCH_H_
