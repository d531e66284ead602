// What the simulation holds the engine to.
#ifndef TESTS_SIMULATION_CHECKER_H_
#define TESTS_SIMULATION_CHECKER_H_

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/simulation/plan.h"
#include "tests/simulation/sim_broker.h"

namespace simulation {

class Checker {
 public:
  // Order is kept over the whole group, or within each member for what comes to it for the first time.
  Checker(const Plan& plan, bool orders_group) : plan_(plan), orders_group_(orders_group) {}

  struct Call {
    int message = 0;
    int handler = 0;
    int attempt = 1;
    int member = 0;
    bool suspect = false;
    bool redelivered = false;
    int running_in_process = 0;  // Others.
  };
  // A call begins, ends, or is cut off: its process ended, or what it was called with became another's. Only those of
  // messages that are their member's own.
  void Begin(const Call& call, absl::Time now);
  void End(int message, int handler, int member, const absl::Status& outcome, absl::Time now);
  void Cut(int message, int handler, int member);
  // The call had ended, and the broker did not get the verdict: it may be called again.
  void Repeat(int message, int handler);
  // The broker has it twice.
  void Forked(int message, int handler);
  // What ran on when it was no longer its member's own was OK, and that may be what was acknowledged.
  void LateOk(int message, int handler) { state(message, handler).late_ok = true; }
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
    int cut = 0;    // Calls that nobody knows the outcome of, or whose outcome was lost.
    int forks = 0;  // How often it became two.
    bool ok = false;
    bool late_ok = false;
    bool may_again = false;  // It was OK, and that was lost.
    bool running = false;
    bool given_up = false;   // Its last attempt has failed for good.
    bool failed = false;     // How its last call ended.
    bool uncounted = false;  // Some call failed and did not count: it is tried again behind others, as in a retry.
    int failures = 0;        // Attempts that failed, and counted.
    int attempt = 0;
    int member = -1;  // Of the last call.
    absl::Time not_before = absl::InfinitePast();
  };
  // By key and handler, and where members have an order of their own, by member.
  using KeyOf = std::tuple<std::string, int, int>;

  State& state(int message, int handler) { return states_[{message, handler}]; }
  const std::string& KeyText(int message) const { return plan_.messages[static_cast<size_t>(message)].key; }
  KeyOf Key(int message, int handler, int member) const {
    return {KeyText(message), handler, orders_group_ ? 0 : member};
  }
  std::string Name(int message, int handler) const;
  void Uncount(const Call& call, State& s);
  void CheckStart(const Call& call, const State& s, absl::Time now);
  void CheckOrder(const Call& call);
  void CheckStrict(const Call& call);
  void NoLongerRuns(int message, int handler, int member);
  bool clocks_jump() const;

  const Plan& plan_;
  const bool orders_group_;
  std::map<std::pair<int, int>, State> states_;
  std::map<std::pair<int, std::string>, int> recorded_;
  std::map<std::pair<int, std::string>, int> recorded_attempts_;
  std::map<KeyOf, int> running_key_;  // Calls under way.
  std::map<KeyOf, int> newest_;       // The newest message begun for the first time.
  std::string violation_;
  int64_t calls_ = 0;
};

}  // namespace simulation

#endif  // TESTS_SIMULATION_CHECKER_H_
