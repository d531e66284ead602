// Retries: how often, when, and by whom (design: rules 4 and 6).
#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/conformance/cases.h"

namespace messaging::conformance {
namespace {

absl::Status Fail(const Received&) { return absl::UnavailableError("never"); }

void AttemptsAreExact(Bench& bench) {
  for (int retries : {0, 1, 3}) {
    const std::string topic = bench.Topic(absl::StrCat("r", retries));
    Journal journal;
    auto client = bench.Consume(
        {Recording("h", journal, {.topics = {topic}, .max_retries = retries, .retry_delay = absl::Milliseconds(10)},
                   Fail)},
        absl::StrCat("g", retries));
    bench.SendMany(*client, topic, 5);
    const auto letters = bench.AwaitDeadLetters(*client, 5, absl::StrCat("g", retries));
    ASSERT_TRUE(client->Stop().ok());
    EXPECT_EQ(journal.count(), 5u * (retries + 1));
    for (const DeadLetter& letter : letters) {
      EXPECT_EQ(letter.failure.attempts, retries + 1);
      const std::vector<Seen> seen = journal.Of(letter.message.payload);
      ASSERT_EQ(seen.size(), static_cast<size_t>(retries + 1));
      for (int i = 0; i <= retries; ++i) EXPECT_EQ(seen[i].attempt, i + 1);
    }
  }
}

// Never earlier than the delay, later by at most max(250 ms, 10 %).
void ExpectDelays(const std::vector<Seen>& seen, const std::vector<absl::Duration>& delays) {
  ASSERT_EQ(seen.size(), delays.size() + 1);
  for (size_t i = 0; i < delays.size(); ++i) {
    const absl::Duration waited = seen[i + 1].at - seen[i].at;
    EXPECT_GE(waited, delays[i]) << "retry " << i + 1 << " of " << seen[i].payload;
    EXPECT_LE(waited, delays[i] + Tolerance(delays[i])) << "retry " << i + 1 << " of " << seen[i].payload;
  }
}

void DelayIsKept(Bench& bench) {
  const std::vector<absl::Duration> delays = {absl::Milliseconds(20), absl::Milliseconds(300), absl::Seconds(1)};
  Journal journal;
  std::vector<Handler> handlers;
  for (size_t i = 0; i < delays.size(); ++i) {
    handlers.push_back(Recording(absl::StrCat("h", i), journal,
                                 {.topics = {bench.Topic(absl::StrCat(i))}, .retry_delay = delays[i]}, FailTimes(2)));
  }
  auto client = bench.Consume(std::move(handlers));
  for (size_t i = 0; i < delays.size(); ++i) {
    bench.SendMany(*client, bench.Topic(absl::StrCat(i)), 10, absl::StrCat("t", i, "-"),
                   [](int m) { return m % 2 == 0 ? absl::StrCat(m) : ""; });
  }
  ASSERT_TRUE(journal.Await(3 * 10 * delays.size()));
  for (size_t i = 0; i < delays.size(); ++i) {
    for (int m = 0; m < 10; ++m) ExpectDelays(journal.Of(absl::StrCat("t", i, "-", m)), {delays[i], delays[i]});
  }
}

void BackoffGrowsToItsCeiling(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("h", journal,
                                         {.topics = {bench.Topic()},
                                          .max_retries = 4,
                                          .retry_delay = absl::Milliseconds(100),
                                          .backoff = {.factor = 2, .max = absl::Milliseconds(350)}},
                                         FailTimes(4))});
  bench.Send(*client, bench.Topic(), "m");
  ASSERT_TRUE(journal.Await(5));
  // Where delays are kept in places (rungs), one may be rounded up to the next: all are rungs here.
  ExpectDelays(journal.Of("m"),
               {absl::Milliseconds(100), absl::Milliseconds(200), absl::Milliseconds(350), absl::Milliseconds(350)});
}

void JitterIsNeverEarly(Bench& bench) {
  Journal journal;
  const absl::Duration delay = absl::Milliseconds(200);
  auto client = bench.Consume({Recording(
      "h", journal, {.topics = {bench.Topic()}, .retry_delay = delay, .backoff = {.jitter = 0.5}}, FailTimes(1))});
  bench.SendMany(*client, bench.Topic(), 20);
  ASSERT_TRUE(journal.Await(40));
  for (int m = 0; m < 20; ++m) {
    const std::vector<Seen> seen = journal.Of(absl::StrCat("m", m));
    ASSERT_EQ(seen.size(), 2u);
    EXPECT_GE(seen[1].at - seen[0].at, delay);
    EXPECT_LE(seen[1].at - seen[0].at, 1.5 * delay + Tolerance(1.5 * delay));
  }
}

// A failing message waits for minutes: all behind it, also those of its key, and on one worker, are handled meanwhile.
void NothingWaitsBehindAFailingMessage(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}, .retry_delay = absl::Minutes(10)},
                                         [](const Received& received) {
                                           return received.payload().starts_with("bad") ? absl::UnavailableError("no")
                                                                                        : absl::OkStatus();
                                         })},
                              "g", {.concurrency = 1, .max_messages = 4});
  bench.SendMany(*client, bench.Topic(), 10, "bad", [](int) { return "k"; });
  bench.SendMany(*client, bench.Topic(), 100, "good", [](int i) { return i % 2 == 0 ? "k" : ""; });
  ASSERT_TRUE(journal.Await(110));
  EXPECT_EQ(journal.distinct(), 110u);
  EXPECT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.count(), 110u);
}

void OnlyTheFailingHandlerIsCalledAgain(Bench& bench) {
  Journal journal;
  const HandlerOptions options = {.topics = {bench.Topic()}, .max_retries = 2, .retry_delay = absl::Milliseconds(30)};
  auto client = bench.Consume({Recording("good", journal, options), Recording("bad", journal, options, Fail),
                               Recording("late", journal, options, FailTimes(1))});
  bench.SendMany(*client, bench.Topic(), 20, "m", [](int i) { return absl::StrCat(i % 3); });
  const auto letters = bench.AwaitDeadLetters(*client, 20);
  ASSERT_TRUE(journal.Await(20 * (1 + 3 + 2)));
  ASSERT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.count("good"), 20u);
  EXPECT_EQ(journal.count("bad"), 60u);
  EXPECT_EQ(journal.count("late"), 40u);
  for (const DeadLetter& letter : letters) EXPECT_EQ(letter.failure.handler, "bad");
}

void PermanentCodesAreNotRetried(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}}, [](const Received& received) {
    if (received.payload() == "m0") return absl::InvalidArgumentError("why m0");
    if (received.payload() == "m1") return absl::OutOfRangeError("why m1");
    if (received.payload() == "m2") return absl::UnimplementedError("why m2");
    return absl::DataLossError("why m3");
  })});
  bench.SendMany(*client, bench.Topic(), 4);
  const auto letters = bench.AwaitDeadLetters(*client, 4);
  ASSERT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.count(), 4u);
  for (const DeadLetter& letter : letters) {
    EXPECT_EQ(letter.failure.attempts, 1);
    EXPECT_EQ(letter.failure.status.message(), absl::StrCat("why ", letter.message.payload));
    EXPECT_NE(letter.failure.status.code(), absl::StatusCode::kUnknown);
  }
}

void AHandlersOwnPermanentCodes(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("h", journal,
                                         {.topics = {bench.Topic()},
                                          .max_retries = 1,
                                          .retry_delay = absl::Milliseconds(10),
                                          .permanent = {absl::StatusCode::kNotFound}},
                                         [](const Received& received) {
                                           return received.payload() == "m0" ? absl::NotFoundError("gone")
                                                                             : absl::InvalidArgumentError("again");
                                         })});
  bench.SendMany(*client, bench.Topic(), 2);
  bench.AwaitDeadLetters(*client, 2);
  ASSERT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.Of("m0").size(), 1u);
  EXPECT_EQ(journal.Of("m1").size(), 2u);
}

void ThrowingIsAFailure(Bench& bench) {
  Journal journal;
  auto client = bench.Consume(
      {Recording("h", journal, {.topics = {bench.Topic()}, .max_retries = 1, .retry_delay = absl::Milliseconds(10)},
                 [](const Received& received) -> absl::Status {
                   if (received.payload() == "m0") throw std::runtime_error("what was thrown");
                   if (received.payload() == "m1") throw 42;
                   if (received.attempt() == 1) throw std::logic_error("once");
                   return absl::OkStatus();
                 })});
  bench.SendMany(*client, bench.Topic(), 3);
  const auto letters = bench.AwaitDeadLetters(*client, 2);
  ASSERT_TRUE(journal.Await(6));
  ASSERT_TRUE(client->Stop().ok());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(journal.Of(absl::StrCat("m", i)).size(), 2u);
  for (const DeadLetter& letter : letters) {
    EXPECT_EQ(letter.failure.attempts, 2);
    if (letter.message.payload != "m0") continue;
    EXPECT_NE(letter.failure.status.message().find("what was thrown"), std::string::npos) << letter.failure.status;
  }
}

// Cancelled is a release only while stopping.
void CancelledIsAFailureLikeAnyOther(Bench& bench) {
  Journal journal;
  auto client = bench.Consume(
      {Recording("h", journal, {.topics = {bench.Topic()}, .max_retries = 1, .retry_delay = absl::Milliseconds(10)},
                 [](const Received&) { return absl::CancelledError("given up"); })});
  bench.Send(*client, bench.Topic(), "m");
  bench.AwaitDeadLetters(*client, 1);
  ASSERT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.count(), 2u);
}

// A handler's deadline interrupts nothing: an outcome that comes later counts all the same.
void ALateOutcomeCounts(Bench& bench) {
  Journal journal;
  auto client = bench.Consume(
      {Recording("h", journal,
                 {.topics = {bench.Topic()}, .retry_delay = absl::Milliseconds(10), .timeout = absl::Milliseconds(20)},
                 [](const Received& received) {
                   EXPECT_TRUE(WaitUntil([&] { return absl::Now() > received.deadline() + absl::Milliseconds(5); }));
                   return FailTimes(1)(received);
                 })});
  bench.Send(*client, bench.Topic(), "m");
  ASSERT_TRUE(journal.Await(2));
  ASSERT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.count(), 2u);
}

// The consumer that failed stops at once; a retry waits for its time and comes to another one, with its attempts.
void RetriesOutliveTheirConsumer(Bench& bench) {
  Journal journal;
  const absl::Duration delay = absl::Milliseconds(500);
  auto consume = [&] {
    return bench.Consume(
        {Recording("h", journal, {.topics = {bench.Topic()}, .max_retries = 1, .retry_delay = delay}, Fail)});
  };
  auto first = consume();
  bench.SendMany(*first, bench.Topic(), 5);
  ASSERT_TRUE(journal.Await(5));
  ASSERT_TRUE(first->Stop().ok());
  auto second = consume();
  const absl::Time up = absl::Now();
  const auto letters = bench.AwaitDeadLetters(*second, 5);
  ASSERT_TRUE(second->Stop().ok());
  EXPECT_EQ(journal.count(), 10u);
  for (const DeadLetter& letter : letters) EXPECT_EQ(letter.failure.attempts, 2);
  // While nobody consumes it waits.
  for (int i = 0; i < 5; ++i) {
    const std::vector<Seen> seen = journal.Of(absl::StrCat("m", i));
    ASSERT_EQ(seen.size(), 2u);
    EXPECT_GE(seen[1].at - seen[0].at, delay);
    EXPECT_LE(seen[1].at, std::max(seen[0].at + delay, up) + Tolerance(delay));
  }
}

}  // namespace

std::vector<Case> RetryCases() {
  return {
      {"AttemptsAreExact", AttemptsAreExact, {}},
      {"DelayIsKept", DelayIsKept, {}},
      {"BackoffGrowsToItsCeiling", BackoffGrowsToItsCeiling, {}},
      {"JitterIsNeverEarly", JitterIsNeverEarly, {}},
      {"NothingWaitsBehindAFailingMessage", NothingWaitsBehindAFailingMessage, {}},
      {"OnlyTheFailingHandlerIsCalledAgain", OnlyTheFailingHandlerIsCalledAgain, {}},
      {"PermanentCodesAreNotRetried", PermanentCodesAreNotRetried, {}},
      {"AHandlersOwnPermanentCodes", AHandlersOwnPermanentCodes, {}},
      {"ThrowingIsAFailure", ThrowingIsAFailure, {}},
      {"CancelledIsAFailureLikeAnyOther", CancelledIsAFailureLikeAnyOther, {}},
      {"ALateOutcomeCounts", ALateOutcomeCounts, {}},
      {"RetriesOutliveTheirConsumer", RetriesOutliveTheirConsumer, {}},
  };
}

}  // namespace messaging::conformance
