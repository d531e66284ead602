#include "messaging/dispatch/breaker.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace messaging {
namespace {

using State = CircuitBreaker::State;

// What happens, one letter a step: o an OK, f a failure, each followed by a second; T ten seconds pass.
struct Case {
  const char* name;
  Breaker options;
  const char* steps;
  const char* states;  // After each step: c closed, o open, h half-open.
};

char Letter(State state) { return state == State::kClosed ? 'c' : state == State::kOpen ? 'o' : 'h'; }

TEST(CircuitBreaker, ByTable) {
  const Breaker three{.failures = 3, .probe_after = absl::Seconds(10)};
  const Breaker half{.share = 0.5, .least = 4, .window = absl::Seconds(10), .probe_after = absl::Seconds(10)};
  const Case cases[] = {
      {"none is never open", {}, "ffffffffff", "cccccccccc"},
      {"so many in a row", three, "fff", "cco"},
      {"an OK in between", three, "ffoffof", "ccccccc"},
      {"half-open when its time has come", three, "fffT", "ccoh"},
      {"OK closes it, and counting starts anew", three, "fffToff", "ccohccc"},
      {"a failure opens it again", three, "fffTfT", "ccohoh"},
      {"what ends while it is open says nothing", three, "fffoofT", "ccooooh"},
      {"a single failure", {.failures = 1, .probe_after = absl::Seconds(10)}, "ofTfTo", "cohohc"},
      {"too few for a share", half, "fff", "ccc"},
      {"a share of enough", half, "ooff", "ccco"},
      {"an OK never opens", half, "offo", "cccc"},
      {"what is older than the window does not count", half, "fffTTfooof", "cccccccccc"},
      {"after it closed the window is empty", half, "ffffTofff", "cccohcccc"},
  };
  for (const Case& c : cases) {
    CircuitBreaker breaker(c.options);
    absl::Time now = absl::UnixEpoch() + absl::Hours(1);
    std::string states;
    for (const char step : std::string(c.steps)) {
      const State before = breaker.state();
      bool changed;
      if (step == 'T') {
        now += absl::Seconds(10);
        changed = breaker.Tick(now);
      } else {
        changed = breaker.Record(step == 'o', now);
        now += absl::Seconds(1);
      }
      EXPECT_EQ(changed, breaker.state() != before) << c.name << " at " << states;
      states += Letter(breaker.state());
    }
    EXPECT_EQ(states, c.states) << c.name << ": " << c.steps;
  }
}

TEST(CircuitBreaker, SaysWhenItProbesAndWhyItOpened) {
  CircuitBreaker breaker({.failures = 2, .probe_after = absl::Seconds(30)});
  const absl::Time now = absl::UnixEpoch();
  EXPECT_EQ(breaker.probe_at(), absl::InfiniteFuture());
  breaker.Record(false, now);
  breaker.Record(false, now);
  EXPECT_EQ(breaker.probe_at(), now + absl::Seconds(30));
  EXPECT_EQ(breaker.why(), "2 calls failed in a row");
  EXPECT_FALSE(breaker.Tick(now + absl::Seconds(29)));
  EXPECT_TRUE(breaker.Tick(now + absl::Seconds(30)));
  CircuitBreaker share({.share = 0.5, .least = 2, .window = absl::Seconds(30)});
  share.Record(true, now);
  share.Record(false, now);
  EXPECT_EQ(share.why(), "1 of 2 calls failed in 30s");
}

}  // namespace
}  // namespace messaging
