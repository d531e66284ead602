// What the simulation holds the engine to.
#ifndef TESTS_SIMULATION_CHECKER_H_
#define TESTS_SIMULATION_CHECKER_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "messaging/handler_options.h"
#include "tests/simulation/sim_broker.h"

namespace simulation {

// What a handler does with a message, whenever it is called with it.
enum class Behaviour { kOk, kFailSome, kFailAlways, kPermanent, kReject, kKill };

struct HandlerPlan {
  std::string name;
  messaging::HandlerOptions options;
  bool is_batch = false;
  bool is_async = false;
  bool has_breaker() const { return options.breaker.failures > 0 || options.breaker.share > 0; }
};

class Checker {
 public:
  Checker(const std::vector<HandlerPlan>& handlers, const std::vector<std::vector<Behaviour>>& behaviours,
          const std::vector<std::string>& keys)
      : handlers_(handlers), behaviours_(behaviours), keys_(keys) {}

  // A call of `handler` with `message` begins, ends, or is cut off by its process's end.
  void Begin(int message, int handler, int attempt, bool suspect, int running_in_process, absl::Time now);
  void End(int message, int handler, const absl::Status& outcome, absl::Time now);
  void Cut(int message, int handler);
  // Its process ended after the call and before the broker had the verdict: it may be called again.
  void Repeat(int message, int handler) {
    ++state(message, handler).cut;
    state(message, handler).not_before = absl::InfinitePast();
  }
  // The broker has recorded that an attempt is to begin.
  void Recorded(int message, const std::string& handler, int attempts) {
    ++recorded_[{message, handler}];
    recorded_attempts_[{message, handler}] = attempts;
  }
  void Acked(const Entry& entry, const std::vector<messaging::Copy>& copies);
  // Everything has ended: is every message handled, or rightly dead?
  void AtEnd(const std::vector<DeadEntry>& dead);
  void Fail(std::string what) {
    if (violation_.empty()) violation_ = std::move(what);
  }
  const std::string& violation() const { return violation_; }
  int64_t calls() const { return calls_; }

 private:
  struct State {
    int started = 0;
    int cut = 0;  // Calls that ended with the process.
    bool ok = false;
    bool running = false;
    bool given_up = false;   // Its last attempt has failed for good.
    bool failed = false;     // How its last call ended.
    bool uncounted = false;  // Some call failed and did not count: it is tried again behind others, as in a retry.
    int failures = 0;        // Attempts that failed, and counted.
    int attempt = 0;
    absl::Time not_before = absl::InfinitePast();
  };
  State& state(int message, int handler) { return states_[{message, handler}]; }
  std::string Name(int message, int handler) const;
  void CheckOrder(int message, int handler, int attempt);

  const std::vector<HandlerPlan>& handlers_;
  const std::vector<std::vector<Behaviour>>& behaviours_;  // [message][handler]
  const std::vector<std::string>& keys_;                   // [message]; "-": none
  std::map<std::pair<int, int>, State> states_;
  std::map<std::pair<int, std::string>, int> recorded_;
  std::map<std::pair<int, std::string>, int> recorded_attempts_;
  std::map<std::pair<std::string, int>, int> running_key_;  // (key, handler): calls under way.
  std::map<std::pair<std::string, int>, int> newest_;  // (key, handler): the newest message begun for the first time.
  std::string violation_;
  int64_t calls_ = 0;
};

}  // namespace simulation

#endif  // TESTS_SIMULATION_CHECKER_H_
