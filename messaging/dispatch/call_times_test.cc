#include "messaging/dispatch/call_times.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "messaging/broker/clock.h"
#include "messaging/observer.h"

namespace messaging {
namespace {

struct Attempt {
  std::string topic;
  absl::Status status;
  absl::Duration time;
  absl::Duration age;
};

class Recorder : public Observer {
 public:
  void OnHandled(std::string_view, std::string_view topic, const Handled& attempts) override {
    ++told;
    for (absl::Time timestamp : attempts.timestamps) {
      all.push_back({std::string(topic), attempts.status, attempts.handler_time, attempts.began - timestamp});
      sum += attempts.handler_time;
    }
  }

  int told = 0;
  std::vector<Attempt> all;
  absl::Duration sum;
};

// Counts how often it is looked at.
class CountingClock : public Clock {
 public:
  absl::Time Now() const override {
    ++looks;
    return now;
  }

  absl::Time now = absl::UnixEpoch() + absl::Hours(1);
  mutable int looks = 0;
};

class CallTimesTest : public testing::Test {
 protected:
  void Call(absl::Duration took, std::string_view topic = "t", const absl::Status& status = absl::OkStatus()) {
    times_.Begin("Handler", topic);
    clock_.now += took;
    times_.Ended(status, absl::UnixEpoch());
  }
  void CallOften(int times, absl::Duration took) {
    for (int i = 0; i < times; ++i) Call(took);
  }
  absl::Duration Longest() const {
    absl::Duration longest;
    for (const Attempt& attempt : recorder_.all) longest = std::max(longest, attempt.time);
    return longest;
  }

  CountingClock clock_;
  Recorder recorder_;
  CallTimes times_{&recorder_, clock_};
};

TEST_F(CallTimesTest, SlowCallsAreTimedOneByOne) {
  for (int i = 1; i <= 200; ++i) Call(absl::Microseconds(10 * i + 1));
  ASSERT_EQ(recorder_.all.size(), 200u) << "each is told at once";
  for (int i = 1; i <= 200; ++i) EXPECT_EQ(recorder_.all[i - 1].time, absl::Microseconds(10 * i + 1));
}

TEST_F(CallTimesTest, QuickCallsShareLooksAtTheClockAndTellings) {
  CallOften(10'000, absl::Nanoseconds(100));
  times_.Flush();
  EXPECT_EQ(recorder_.all.size(), 10'000u);
  EXPECT_EQ(recorder_.sum, absl::Milliseconds(1));
  EXPECT_EQ(Longest(), absl::Nanoseconds(100));
  EXPECT_LT(clock_.looks, 800);
  EXPECT_LT(recorder_.told, 350);
}

TEST_F(CallTimesTest, NoMoreAreTimedTogetherThanAreExpectedInFiveMicroseconds) {
  CallOften(1000, absl::Microseconds(2));
  EXPECT_GE(recorder_.told, 500);
  EXPECT_EQ(Longest(), absl::Microseconds(2));
}

TEST_F(CallTimesTest, ACallThatIsSlowAmongQuickOnesHasItsTime) {
  CallOften(1000, absl::Nanoseconds(100));
  const auto before = recorder_.all.size();
  Call(absl::Milliseconds(3));
  CallOften(50, absl::Nanoseconds(100));
  times_.Flush();
  EXPECT_EQ(recorder_.all.size(), 1051u);
  EXPECT_EQ(recorder_.sum, absl::Milliseconds(3) + 1050 * absl::Nanoseconds(100));
  EXPECT_EQ(Longest(), absl::Milliseconds(3));
  int slow = 0;
  for (size_t i = before; i < recorder_.all.size(); ++i) slow += recorder_.all[i].time > absl::Microseconds(10) ? 1 : 0;
  EXPECT_EQ(slow, 1);
}

TEST_F(CallTimesTest, AHandlerThatBecomesSlowIsTimedCallByCallAfterOneRun) {
  CallOften(1000, absl::Nanoseconds(100));
  CallOften(500, absl::Milliseconds(1));
  times_.Flush();
  EXPECT_EQ(recorder_.all.size(), 1500u);
  EXPECT_EQ(recorder_.sum, absl::Milliseconds(500) + absl::Microseconds(100));
  int right = 0;
  for (const Attempt& attempt : recorder_.all) right += attempt.time == absl::Milliseconds(1) ? 1 : 0;
  EXPECT_GE(right, 500 - 128);
}

TEST_F(CallTimesTest, AHandlerThatIsSlowNowAndThenIsTimedCallByCall) {
  for (int i = 0; i < 100; ++i) {
    CallOften(50, absl::Nanoseconds(100));
    CallOften(2, absl::Milliseconds(1));
  }
  int slow = 0;
  for (const Attempt& attempt : recorder_.all) slow += attempt.time == absl::Milliseconds(1) ? 1 : 0;
  EXPECT_EQ(slow, 200);
}

TEST_F(CallTimesTest, AFailureIsToldAtOnceWithItsOwnTime) {
  CallOften(1000, absl::Nanoseconds(100));
  Call(absl::Milliseconds(2), "t", absl::UnavailableError("later"));
  EXPECT_EQ(recorder_.all.size(), 1001u);
  EXPECT_EQ(recorder_.all.back().status, absl::UnavailableError("later"));
  EXPECT_EQ(recorder_.sum, absl::Milliseconds(2) + absl::Microseconds(100));
  EXPECT_GE(recorder_.all.back().time, absl::Milliseconds(2));
  EXPECT_LT(recorder_.all.back().time, absl::Milliseconds(2) + absl::Microseconds(4));
}

TEST_F(CallTimesTest, EachTopicHasItsOwn) {
  for (int i = 0; i < 500; ++i) Call(absl::Nanoseconds(100), absl::StrCat("topic", i / 10 % 3));
  times_.Flush();
  ASSERT_EQ(recorder_.all.size(), 500u);
  for (int i = 0; i < 500; ++i) EXPECT_EQ(recorder_.all[i].topic, absl::StrCat("topic", i / 10 % 3)) << i;
  EXPECT_EQ(recorder_.sum, absl::Microseconds(50));
}

TEST_F(CallTimesTest, WhatIsToldLaterIsNotToldHereAndTimedAlone) {
  CallOften(1000, absl::Nanoseconds(100));
  const absl::Time began = clock_.now;
  times_.Begin("Handler", "t");
  clock_.now += absl::Milliseconds(7);
  const CallTimes::Times times = times_.Split();
  EXPECT_EQ(recorder_.all.size(), 1000u);
  EXPECT_GE(times.took, absl::Milliseconds(7));
  EXPECT_LT(times.took, absl::Milliseconds(7) + absl::Microseconds(4));
  EXPECT_LT(began - times.began, absl::Microseconds(4));
  EXPECT_EQ(recorder_.sum + times.took, absl::Milliseconds(7) + absl::Microseconds(100));
}

TEST_F(CallTimesTest, AnAgeCountsUntilTheCall) {
  Call(absl::Milliseconds(5));
  Call(absl::Milliseconds(5));
  EXPECT_EQ(recorder_.all[0].age, absl::Hours(1));
  EXPECT_EQ(recorder_.all[1].age, absl::Hours(1) + absl::Milliseconds(5));
}

TEST(CallTimes, WithoutAnObserverTheClockIsLeftAlone) {
  CountingClock clock;
  CallTimes times(nullptr, clock);
  times.Begin("Handler", "t");
  times.Ended(absl::OkStatus(), absl::UnixEpoch());
  times.Begin("Handler", "t");
  (void)times.Split();
  times.Flush();
  EXPECT_EQ(clock.looks, 0);
}

}  // namespace
}  // namespace messaging
