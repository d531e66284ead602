// Pauses, breakers, rate limits and log lines as a user's tests see them.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/codec.h"
#include "messaging/log.h"
#include "messaging/testing/harness.h"

namespace messaging {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class GatesTest : public testing::Test {
 protected:
  GatesTest() {
    SetLogSink([this](Severity, std::string_view line) { lines_.emplace_back(line); });
  }
  ~GatesTest() override { SetLogSink(nullptr); }

  Handler Make(std::string name, HandlerOptions options) {
    return MakeHandler(
        name,
        [this, name](const std::string& body) {
          if (down_) return absl::UnavailableError("down");
          calls_.push_back(name + ":" + body);
          return absl::OkStatus();
        },
        std::move(options));
  }

  bool down_ = false;
  std::vector<std::string> calls_;
  std::vector<std::string> lines_;
};

TEST_F(GatesTest, APausedHandlerWaitsAndOthersGoOn) {
  TestHarness harness({.handlers = {Make("A", {.topics = {"a"}}), Make("B", {.topics = {"b"}})}});
  ASSERT_TRUE(harness.Pause({.handler = "A"}).ok());
  for (const char* body : {"1", "2"}) harness.Publish("a", std::string(body), {.key = "k"});
  harness.Publish("b", std::string("1"));
  harness.RunUntilIdle();
  EXPECT_THAT(calls_, ElementsAre("B:1"));
  EXPECT_EQ(harness.progress().handlers[0].gate, Gate::kPaused);
  ASSERT_TRUE(harness.Resume({.handler = "A"}).ok());
  harness.RunUntilIdle();
  EXPECT_THAT(calls_, ElementsAre("B:1", "A:1", "A:2"));
  EXPECT_THAT(lines_, ElementsAre("handler A is paused [handler=A]", "handler A goes on [handler=A]"));
}

TEST_F(GatesTest, ATopicIsPausedForAllItsHandlersAndResumeOfEverythingEndsIt) {
  TestHarness harness({.handlers = {Make("A", {.topics = {"a", "b"}}), Make("B", {.topics = {"a"}})}});
  ASSERT_TRUE(harness.Pause({.topic = "a"}).ok());
  ASSERT_TRUE(harness.Pause({.topic = "a"}).ok());
  harness.Publish("a", std::string("1"));
  harness.Publish("b", std::string("2"));
  harness.RunUntilIdle();
  EXPECT_THAT(calls_, ElementsAre("A:2"));
  ASSERT_TRUE(harness.Resume().ok());
  harness.RunUntilIdle();
  EXPECT_THAT(calls_, ElementsAre("A:2", "A:1", "B:1"));
}

TEST_F(GatesTest, WhatIsNotThereIsNamedWithWhatIs) {
  TestHarness harness({.handlers = {Make("A", {.topics = {"a"}}), Make("B", {.topics = {"b"}})}});
  EXPECT_EQ(harness.Pause({.handler = "C"}).message(), "no handler is called C; there are A, B");
  EXPECT_EQ(harness.Pause({.topic = "c"}).message(), "no handler for topic c; there are handlers for a, b");
  EXPECT_TRUE(absl::IsInvalidArgument(harness.Pause({.handler = "A", .topic = "a"})));
}

TEST_F(GatesTest, ARetryThatBecomesDueWhilePausedWaitsToo) {
  TestHarness harness({.handlers = {Make("A", {.topics = {"a"}, .retry_delay = absl::Seconds(1)})}});
  down_ = true;
  harness.Publish("a", std::string("1"));
  harness.RunUntilIdle();
  ASSERT_THAT(harness.retried(), SizeIs(1));
  down_ = false;
  ASSERT_TRUE(harness.Pause().ok());
  harness.Advance(absl::Minutes(1));
  EXPECT_THAT(calls_, IsEmpty());
  ASSERT_TRUE(harness.Resume().ok());
  harness.RunUntilIdle();
  EXPECT_THAT(calls_, ElementsAre("A:1"));
  EXPECT_EQ(harness.handled()[0].attempts, 2);
}

TEST_F(GatesTest, ABreakerHoldsMessagesInsteadOfBuryingThem) {
  TestHarness harness(
      {.handlers = {Make(
           "A", {.topics = {"a"}, .max_retries = 0, .breaker = {.failures = 1, .probe_after = absl::Seconds(10)}})}});
  down_ = true;
  for (int i = 0; i < 5; ++i) harness.Publish("a", absl::StrCat(i));
  harness.Advance(absl::Hours(1));
  EXPECT_THAT(harness.dead_letters(), IsEmpty());
  EXPECT_EQ(harness.progress().handlers[0].gate, Gate::kTripped);
  ASSERT_THAT(lines_, SizeIs(1)) << "one line for an hour of trying";
  EXPECT_THAT(lines_[0], HasSubstr("handler A pauses, as 1 call failed; one message is tried every 10s"));
  down_ = false;
  harness.Advance(absl::Seconds(10));
  EXPECT_THAT(harness.handled(), SizeIs(5));
  for (const HarnessEvent& event : harness.handled()) EXPECT_EQ(event.attempts, 1);
  EXPECT_THAT(lines_, ElementsAre(testing::_, "handler A goes on [handler=A]"));
}

TEST_F(GatesTest, ARateLimitIsKeptOverTime) {
  TestHarness harness({.handlers = {Make("A", {.topics = {"a"}, .rate_limit = {.per_second = 2, .burst = 3}}),
                                    Make("B", {.topics = {"b"}})}});
  for (int i = 0; i < 20; ++i) harness.Publish("a", absl::StrCat(i));
  harness.Publish("b", std::string("other"));
  harness.RunUntilIdle();
  EXPECT_THAT(calls_, SizeIs(4));
  harness.Advance(absl::Seconds(3));
  EXPECT_THAT(calls_, SizeIs(10));
  harness.Advance(absl::Minutes(1));
  EXPECT_THAT(calls_, SizeIs(21));
}

TEST_F(GatesTest, SettlingThatFailsIsOneLineAndSoIsItsEnd) {
  TestHarness harness({.handlers = {Make("A", {.topics = {"a"}})}});
  harness.broker().FailNextSettlements(50, absl::UnavailableError("no place"));
  for (int i = 0; i < 10; ++i) harness.Publish("a", absl::StrCat(i));
  harness.Advance(absl::Seconds(30));
  ASSERT_THAT(lines_, SizeIs(2));
  EXPECT_THAT(lines_[0], HasSubstr("messages could not be settled and will be again"));
  EXPECT_THAT(lines_[0], HasSubstr("no place"));
  EXPECT_EQ(lines_[1], "all messages can be settled again, after 50 refusals in 5s");
}

TEST_F(GatesTest, DeadLettersAreOneLineAMinuteWithTheirNumber) {
  TestHarness harness({.handlers = {Make("A", {.topics = {"a"}, .max_retries = 0})}});
  down_ = true;
  for (int i = 0; i < 10; ++i) harness.Publish("a", absl::StrCat(i), {.id = absl::StrCat("id", i)});
  harness.RunUntilIdle();
  EXPECT_THAT(lines_, ElementsAre("1 message goes to the dead letters; the last, after attempt 1: UNAVAILABLE: down "
                                  "[topic=a message=id0 handler=A attempt=1]"));
  harness.Advance(absl::Minutes(1));
  harness.Publish("a", std::string("x"));
  harness.RunUntilIdle();
  ASSERT_THAT(lines_, SizeIs(2));
  EXPECT_THAT(lines_[1], HasSubstr("10 messages went to the dead letters"));
}

}  // namespace
}  // namespace messaging
