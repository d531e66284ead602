#include "messaging/testing/harness.h"

#include <map>
#include <optional>
#include <stdexcept>
#include <thread>

#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/codec.h"
#include "messaging/handler_options.h"

namespace messaging {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Fails the first `n` calls for a body, then is OK.
struct FlakyHandler {
  std::map<std::string, int> failures;
  std::vector<std::string> calls;
  absl::Status operator()(const std::string& body) {
    calls.push_back(body);
    if (failures[body]-- > 0) return absl::UnavailableError("down");
    return absl::OkStatus();
  }
  Handler As(std::string name, HandlerOptions options) {
    return MakeHandler(
        std::move(name), [this](const std::string& body) { return (*this)(body); }, std::move(options));
  }
};

std::vector<std::string> Bodies(const std::vector<HarnessEvent>& events) {
  std::vector<std::string> bodies;
  for (const HarnessEvent& event : events) bodies.push_back(event.message.payload);
  return bodies;
}

std::vector<std::string> Bodies(const std::vector<Message>& messages) {
  std::vector<std::string> bodies;
  for (const Message& message : messages) bodies.push_back(message.payload);
  return bodies;
}

TEST(TestHarness, HandledMessageIsShownAsItWasSent) {
  FlakyHandler flaky;
  TestHarness harness({.handlers = {flaky.As("h", {.topics = {"t"}})}});
  const Confirmation sent =
      harness.Publish("t", std::string("body"), {.key = "k", .headers = {{"a", "b"}}, .content_type = "text/x"});
  EXPECT_TRUE(sent.Wait().ok());
  EXPECT_THAT(flaky.calls, IsEmpty());
  harness.RunUntilIdle();
  ASSERT_THAT(harness.handled(), SizeIs(1));
  const HarnessEvent event = harness.handled()[0];
  EXPECT_EQ(event.topic, "t");
  EXPECT_EQ(event.handler, "h");
  EXPECT_EQ(event.attempts, 1);
  EXPECT_TRUE(event.status.ok());
  EXPECT_EQ(event.message.payload, "body");
  EXPECT_EQ(event.message.key, "k");
  EXPECT_EQ(event.message.headers, (std::vector<Header>{{"a", "b"}}));
  EXPECT_EQ(event.message.content_type, "text/x");
  EXPECT_EQ(event.message.id, "1");
  EXPECT_EQ(event.message.timestamp, harness.now());
  EXPECT_EQ(harness.in_flight(), 0u);
}

TEST(TestHarness, RetryComesWhenItsTimeHasCome) {
  FlakyHandler flaky{.failures = {{"x", 1}}};
  TestHarness harness({.handlers = {flaky.As("h", {.topics = {"t"}, .retry_delay = absl::Seconds(5)})}});
  harness.Publish("t", std::string("x"));
  harness.Publish("t", std::string("y"));
  harness.RunUntilIdle();
  EXPECT_THAT(Bodies(harness.handled()), ElementsAre("y"));  // It does not wait behind the failing one.
  ASSERT_THAT(harness.retried(), SizeIs(1));
  EXPECT_EQ(harness.retried()[0].attempts, 1);
  EXPECT_EQ(harness.retried()[0].delay, absl::Seconds(5));
  EXPECT_EQ(harness.retried()[0].status, absl::UnavailableError("down"));
  harness.Advance(absl::Seconds(5) - absl::Nanoseconds(1));
  EXPECT_THAT(flaky.calls, ElementsAre("x", "y"));
  harness.Advance(absl::Nanoseconds(1));
  EXPECT_THAT(flaky.calls, ElementsAre("x", "y", "x"));
  ASSERT_THAT(harness.handled(), SizeIs(2));
  EXPECT_EQ(harness.handled()[1].attempts, 2);
}

TEST(TestHarness, AdvanceDoesEachThingAtItsTime) {
  std::vector<absl::Duration> times;
  TestHarness* running = nullptr;
  const absl::Time start = SimulatedClock().Now();
  Handler handler =
      MakeHandler("h",
                  [&](const std::string&) {
                    times.push_back(running->now() - start);
                    return absl::UnavailableError("down");
                  },
                  {.topics = {"t"}, .max_retries = 3, .retry_delay = absl::Seconds(1), .backoff = {.factor = 2}});
  TestHarness harness({.handlers = {handler}});
  running = &harness;
  harness.Publish("t", std::string("x"));
  harness.Advance(absl::Hours(1));
  EXPECT_THAT(times, ElementsAre(absl::ZeroDuration(), absl::Seconds(1), absl::Seconds(3), absl::Seconds(7)));
  EXPECT_EQ(harness.now(), start + absl::Hours(1));
  EXPECT_THAT(harness.retried(), SizeIs(3));
  ASSERT_THAT(harness.dead_letters(), SizeIs(1));
  EXPECT_EQ(harness.dead_letters()[0].attempts, 4);
  EXPECT_EQ(harness.dead_letters()[0].status, absl::UnavailableError("down"));
  EXPECT_THAT(harness.handled(), IsEmpty());
}

TEST(TestHarness, OnlyTheFailingHandlerOfATopicIsCalledAgain) {
  FlakyHandler good;
  FlakyHandler bad{.failures = {{"x", 1}}};
  TestHarness harness({.handlers = {good.As("good", {.topics = {"t"}}), bad.As("bad", {.topics = {"t"}})}});
  harness.Publish("t", std::string("x"));
  harness.Advance(absl::Minutes(1));
  EXPECT_THAT(good.calls, ElementsAre("x"));
  EXPECT_THAT(bad.calls, ElementsAre("x", "x"));
  ASSERT_THAT(harness.handled(), SizeIs(2));
  EXPECT_EQ(harness.handled()[0].handler, "good");
  EXPECT_EQ(harness.handled()[1].handler, "bad");
  EXPECT_EQ(harness.retried()[0].handler, "bad");
}

TEST(TestHarness, PermanentFailureAndThrowingEndInTheDeadLetters) {
  TestHarness harness({.handlers = {MakeHandler("h",
                                                [](const std::string& body) -> absl::Status {
                                                  if (body == "throw") throw std::runtime_error("what it said");
                                                  return absl::InvalidArgumentError("never");
                                                },
                                                {.topics = {"t"}, .max_retries = 0})}});
  harness.Publish("t", std::string("permanent"));
  harness.Publish("t", std::string("throw"));
  harness.RunUntilIdle();
  EXPECT_THAT(Bodies(harness.dead_letters()), ElementsAre("permanent", "throw"));
  EXPECT_EQ(harness.dead_letters()[0].status, absl::InvalidArgumentError("never"));
  EXPECT_THAT(std::string(harness.dead_letters()[1].status.message()), HasSubstr("what it said"));
  EXPECT_THAT(harness.retried(), IsEmpty());
}

struct Gateway {
  int charged = 0;
};

TEST(TestHarness, InjectedObjectsAreTheTests) {
  Gateway gateway;
  TestHarness harness({.handlers = {MakeHandler("h",
                                                [](const std::string&, Gateway& gateway) {
                                                  ++gateway.charged;
                                                  return absl::OkStatus();
                                                },
                                                {.topics = {"t"}})}});
  harness.providers().Provide<Gateway>(&gateway);
  harness.Publish("t", std::string("x"));
  harness.RunUntilIdle();
  EXPECT_EQ(gateway.charged, 1);
}

TEST(TestHarness, StartSaysWhatIsNotProvided) {
  TestHarness harness({.handlers = {MakeHandler("needy", [](const std::string&, Gateway&) { return absl::OkStatus(); },
                                                {.topics = {"t"}})}});
  const absl::Status started = harness.Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(started));
  EXPECT_THAT(std::string(started.message()), HasSubstr("needy"));
}

Handler Forwarding() {
  return MakeHandler("forward",
                     [](const std::string& body, Sender& sender) {
                       sender.Send("out", body + "!");
                       return absl::OkStatus();
                     },
                     {.topics = {"in"}, .retry_delay = absl::Seconds(1)});
}

TEST(TestHarness, SentIsWhatHandlersSent) {
  TestHarness harness({.handlers = {Forwarding()}});
  harness.Publish("in", std::string("a"));
  harness.Publish("out", std::string("by the test"));
  harness.RunUntilIdle();
  EXPECT_THAT(Bodies(harness.sent("out")), ElementsAre("a!"));
  EXPECT_THAT(harness.sent("in"), IsEmpty());
}

TEST(TestHarness, RefusedSendIsAFailedAttempt) {
  TestHarness harness({.handlers = {Forwarding()}});
  harness.Publish("in", std::string("a"));
  harness.broker().FailNextPublishes(1, absl::PermissionDeniedError("not you"));
  harness.RunUntilIdle();
  EXPECT_THAT(harness.sent("out"), IsEmpty());
  EXPECT_THAT(harness.handled(), IsEmpty());
  ASSERT_THAT(harness.retried(), SizeIs(1));
  EXPECT_THAT(std::string(harness.retried()[0].status.message()), HasSubstr("not you"));
  harness.Advance(absl::Seconds(1));
  EXPECT_THAT(Bodies(harness.sent("out")), ElementsAre("a!"));
  EXPECT_THAT(harness.handled(), SizeIs(1));
}

TEST(TestHarness, ReplayedDeadLetterIsHandledAgain) {
  FlakyHandler flaky{.failures = {{"x", 1}}};
  TestHarness harness({.handlers = {flaky.As("h", {.topics = {"t"}, .max_retries = 0})}});
  harness.Publish("t", std::string("x"));
  harness.RunUntilIdle();
  ASSERT_THAT(harness.dead_letters(), SizeIs(1));
  EXPECT_EQ(harness.broker().dead_letters().Replay({}).value(), 1);
  harness.RunUntilIdle();
  EXPECT_THAT(harness.dead_letters(), IsEmpty());
  ASSERT_THAT(harness.handled(), SizeIs(1));
  EXPECT_EQ(harness.handled()[0].attempts, 1);
}

TEST(TestHarness, BatchWaitsForItsTimeOrItsSize) {
  std::vector<size_t> sizes;
  TestHarness harness(
      {.handlers = {MakeHandler("h",
                                [&](absl::Span<const std::string> bodies) {
                                  sizes.push_back(bodies.size());
                                  std::vector<absl::Status> outcomes(bodies.size());
                                  outcomes[0] = absl::InvalidArgumentError("first");
                                  return outcomes;
                                },
                                {.topics = {"t"}, .batch = {.max = 3, .wait = absl::Milliseconds(20)}})}});
  for (const char* body : {"a", "b"}) harness.Publish("t", std::string(body));
  harness.RunUntilIdle();
  EXPECT_THAT(sizes, IsEmpty());
  harness.Advance(absl::Milliseconds(20));
  EXPECT_THAT(sizes, ElementsAre(2));
  EXPECT_THAT(Bodies(harness.handled()), ElementsAre("b"));
  EXPECT_THAT(Bodies(harness.dead_letters()), ElementsAre("a"));
  for (const char* body : {"c", "d", "e"}) harness.Publish("t", std::string(body));
  harness.RunUntilIdle();
  EXPECT_THAT(sizes, ElementsAre(2, 3));
}

TEST(TestHarness, CompletionIsTheTestsToCall) {
  std::vector<Completion> completions;
  TestHarness harness({.handlers = {MakeHandler(
                           "h", [&](const std::string&, Completion done) { completions.push_back(std::move(done)); },
                           {.topics = {"t"}, .retry_delay = absl::Seconds(1)})}});
  harness.Publish("t", std::string("a"));
  harness.RunUntilIdle();
  ASSERT_THAT(completions, SizeIs(1));
  EXPECT_THAT(harness.handled(), IsEmpty());
  EXPECT_EQ(harness.in_flight(), 1u);
  std::thread([&] { completions[0](absl::UnavailableError("later")); }).join();
  harness.RunUntilIdle();
  ASSERT_THAT(harness.retried(), SizeIs(1));
  EXPECT_EQ(harness.retried()[0].status, absl::UnavailableError("later"));
  harness.Advance(absl::Seconds(1));
  ASSERT_THAT(completions, SizeIs(2));
  completions[1](absl::OkStatus());
  harness.RunUntilIdle();
  EXPECT_THAT(harness.handled(), SizeIs(1));
  EXPECT_EQ(harness.in_flight(), 0u);
}

TEST(TestHarness, StrictOrderHoldsTheFailingKeyAlone) {
  FlakyHandler flaky{.failures = {{"k1", 1}}};
  TestHarness harness(
      {.handlers = {flaky.As("h", {.topics = {"t"}, .retry_delay = absl::Seconds(2), .order = Order::kPerKeyStrict})}});
  harness.Publish("t", std::string("k1"), {.key = "k"});
  harness.Publish("t", std::string("k2"), {.key = "k"});
  harness.Publish("t", std::string("l1"), {.key = "l"});
  harness.RunUntilIdle();
  EXPECT_THAT(flaky.calls, ElementsAre("k1", "l1"));
  ASSERT_THAT(harness.retried(), SizeIs(1));
  EXPECT_EQ(harness.retried()[0].delay, absl::Seconds(2));
  EXPECT_EQ(harness.retried()[0].status, absl::UnavailableError("down"));
  harness.Advance(absl::Seconds(2));
  EXPECT_THAT(flaky.calls, ElementsAre("k1", "l1", "k1", "k2"));
  EXPECT_THAT(Bodies(harness.handled()), ElementsAre("l1", "k1", "k2"));
  EXPECT_EQ(harness.handled()[1].attempts, 2);
  EXPECT_THAT(harness.retried(), SizeIs(1));
}

TEST(TestHarness, RefusedVerdictIsGivenAgainAndCountedOnce) {
  FlakyHandler flaky;
  TestHarness harness({.handlers = {flaky.As("h", {.topics = {"t"}})}});
  harness.broker().FailNextSettlements(1, absl::UnavailableError("down"));
  harness.Publish("t", std::string("x"));
  harness.RunUntilIdle();
  EXPECT_EQ(harness.in_flight(), 1u);
  harness.Advance(absl::Minutes(1));
  EXPECT_EQ(harness.in_flight(), 0u);
  EXPECT_THAT(flaky.calls, ElementsAre("x"));
  EXPECT_THAT(harness.handled(), SizeIs(1));
}

TEST(TestHarness, JitterIsTheSameEachTime) {
  std::vector<absl::Duration> delays[2];
  for (auto& seen : delays) {
    FlakyHandler flaky{.failures = {{"x", 5}}};
    TestHarness harness({.handlers = {flaky.As("h", {.topics = {"t"}, .max_retries = 5, .backoff = {.jitter = 0.5}})}});
    harness.Publish("t", std::string("x"));
    harness.Advance(absl::Hours(1));
    for (const HarnessEvent& event : harness.retried()) seen.push_back(event.delay);
  }
  EXPECT_THAT(delays[0], SizeIs(5));
  EXPECT_EQ(delays[0], delays[1]);
}

TEST(TestHarness, UndecodableMessageIsADeadLetterWithItsBytes) {
  FlakyHandler flaky;
  Handler picky = MakeHandler("h", [](const std::string&) { return absl::OkStatus(); },
                              {.topics = {"t"}, .validate = Validator(+[](const std::string& body) {
                                                  return body == "good" ? absl::OkStatus()
                                                                        : absl::FailedPreconditionError("not good");
                                                })});
  TestHarness harness({.handlers = {picky}});
  harness.Publish("t", std::string("\xff\0", 2));
  harness.Publish("t", std::string("good"));
  harness.RunUntilIdle();
  EXPECT_THAT(Bodies(harness.handled()), ElementsAre("good"));
  EXPECT_THAT(Bodies(harness.dead_letters()), ElementsAre(std::string("\xff\0", 2)));
  EXPECT_THAT(harness.retried(), IsEmpty());
}

absl::Status Registered(const std::string&) { return absl::OkStatus(); }

TEST(TestHarness, TakesAllRegisteredHandlersByDefault) {
  RegisterHandler("registered", &Registered, {.topics = {"t"}, .group = "own"});
  TestHarness harness;
  harness.Publish("t", std::string("x"));
  harness.RunUntilIdle();
  ASSERT_THAT(harness.handled(), SizeIs(1));
  EXPECT_EQ(harness.handled()[0].handler, "registered");
}

TEST(TestHarness, OthersSendThroughABrokerOfItsName) {
  FlakyHandler flaky;
  TestHarness harness({.handlers = {flaky.As("h", {.topics = {"t"}})}, .name = "harness"});
  const auto other = MakeMemoryBroker({.url = "memory://harness"}).value();
  Producer producer(other.get(), {}, nullptr);
  EXPECT_TRUE(producer.Send("t", std::string("x")).Wait().ok());
  harness.RunUntilIdle();
  EXPECT_THAT(flaky.calls, ElementsAre("x"));
  EXPECT_THAT(harness.sent("t"), SizeIs(1));
}

TEST(TestHarnessDeathTest, EndlessHandlerIsToldOf) {
  auto run = [] {
    Handler endless = MakeHandler("h",
                                  [](const std::string& body, Sender& sender) {
                                    sender.Send("t", body);
                                    return absl::OkStatus();
                                  },
                                  {.topics = {"t"}});
    TestHarness harness({.handlers = {endless}});
    harness.Publish("t", std::string("x"));
    harness.RunUntilIdle();
  };
  EXPECT_DEATH(run(), "does not become idle");
}

}  // namespace
}  // namespace messaging
