// Handlers of batches, and asynchronous ones.
#include <atomic>
#include <map>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/conformance/cases.h"

namespace messaging::conformance {
namespace {

// A batch handler that fails what `outcome` fails, and notes the size of each call.
Handler BatchRecording(Journal& journal, HandlerOptions options, std::atomic<size_t>& largest, Outcome outcome) {
  return MakeHandler(
      "batch",
      [&journal, &largest, outcome = std::move(outcome)](absl::Span<const std::string> messages,
                                                         absl::Span<const Received> received) {
        std::vector<absl::Status> outcomes;
        size_t seen = largest;
        while (messages.size() > seen && !largest.compare_exchange_weak(seen, messages.size())) {
        }
        for (const Received& each : received) {
          journal.Add(each);
          outcomes.push_back(outcome(each));
        }
        return outcomes;
      },
      std::move(options));
}

void BatchesWithMixedOutcomes(Bench& bench) {
  Journal journal;
  std::atomic<size_t> largest{0};
  auto client = bench.Consume({BatchRecording(journal,
                                              {.topics = {bench.Topic()},
                                               .max_retries = 1,
                                               .retry_delay = absl::Milliseconds(20),
                                               .batch = {.max = 10, .wait = absl::Milliseconds(50)}},
                                              largest, [](const Received& received) -> absl::Status {
                                                if (received.payload().ends_with("3")) return FailTimes(1)(received);
                                                if (received.payload().ends_with("5")) {
                                                  return absl::InvalidArgumentError("five");
                                                }
                                                if (received.payload().ends_with("7")) {
                                                  return absl::UnavailableError("seven");
                                                }
                                                return absl::OkStatus();
                                              })});
  bench.SendMany(*client, bench.Topic(), 100);
  const auto letters = bench.AwaitDeadLetters(*client, 20);
  ASSERT_TRUE(journal.Await(100 + 10 + 10));
  ASSERT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.count(), 120u);
  EXPECT_GT(largest, 1u);
  EXPECT_LE(largest, 10u);
  for (const DeadLetter& letter : letters) {
    EXPECT_EQ(letter.failure.attempts, letter.message.payload.ends_with("5") ? 1 : 2);
  }
  for (int i = 0; i < 100; ++i) {
    const int digit = i % 10;
    EXPECT_EQ(journal.Of(absl::StrCat("m", i)).size(), digit == 3 || digit == 7 ? 2u : 1u) << i;
  }
}

// Fewer than max come after `wait`, not never.
void ASmallBatchComesAfterItsWait(Bench& bench) {
  Journal journal;
  std::atomic<size_t> largest{0};
  auto client = bench.Consume(
      {BatchRecording(journal, {.topics = {bench.Topic()}, .batch = {.max = 1000, .wait = absl::Milliseconds(100)}},
                      largest, Succeed)});
  const absl::Time start = absl::Now();
  bench.SendMany(*client, bench.Topic(), 3);
  ASSERT_TRUE(journal.Await(3));
  EXPECT_GE(journal.all()[0].at - start, absl::Milliseconds(100));
  EXPECT_LE(journal.all()[2].at - start, absl::Seconds(10));
}

// Messages of one key in a batch are in order, and none of it is in two calls at once.
void BatchesKeepTheOrderOfKeys(Bench& bench) {
  Journal journal;
  std::atomic<size_t> largest{0};
  auto client = bench.Consume({BatchRecording(
      journal, {.topics = {bench.Topic()}, .batch = {.max = 20, .wait = absl::Milliseconds(5)}}, largest, Succeed)});
  bench.SendMany(*client, bench.Topic(), 300, "m", [](int i) { return absl::StrCat(i % 3); });
  ASSERT_TRUE(journal.Await(300));
  std::map<std::string, int> last;
  for (const Seen& seen : journal.all()) {
    const int number = std::stoi(seen.payload.substr(1));
    auto [at, fresh] = last.try_emplace(*seen.key, number);
    EXPECT_TRUE(fresh || number > at->second) << number << " after " << at->second;
    at->second = number;
  }
}

// A batch with too few outcomes, or an exception, is a failed attempt of all.
void ABatchThatThrowsFailsAll(Bench& bench) {
  Journal journal;
  auto client = bench.Consume(
      {MakeHandler("batch",
                   [&journal](absl::Span<const std::string> messages, absl::Span<const Received> received) {
                     for (const Received& each : received) journal.Add(each);
                     if (received[0].attempt() == 1) throw std::runtime_error("batch");
                     return std::vector<absl::Status>(messages.size());
                   },
                   {.topics = {bench.Topic()}, .retry_delay = absl::Milliseconds(10)})});
  bench.SendMany(*client, bench.Topic(), 10);
  ASSERT_TRUE(journal.Await(20));
  ASSERT_TRUE(client->Stop().ok());
  for (int i = 0; i < 10; ++i) EXPECT_EQ(journal.Of(absl::StrCat("m", i)).size(), 2u);
}

// The completion decides, later, from another thread; the worker is free meanwhile; failures are retried.
void AsynchronousHandlersComplete(Bench& bench) {
  Journal journal;
  absl::Mutex mutex;
  std::vector<std::pair<int, Completion>> open;
  auto client = bench.Consume(
      {MakeHandler("async",
                   [&](const std::string_view&, const Received& received, Completion done) {
                     absl::MutexLock lock(&mutex);
                     open.emplace_back(received.attempt(), std::move(done));
                     journal.Add(received);
                   },
                   {.topics = {bench.Topic()}, .retry_delay = absl::Milliseconds(10), .concurrency = 20})},
      "g", {.concurrency = 1});
  bench.SendMany(*client, bench.Topic(), 20);
  EXPECT_TRUE(journal.Await(20)) << "one worker, and all are open at once";
  EXPECT_GE(client->in_flight(), 20u);
  auto finish = [&](auto outcome) {
    std::vector<std::pair<int, Completion>> taken;
    {
      absl::MutexLock lock(&mutex);
      taken.swap(open);
    }
    std::thread([&] {
      for (auto& [attempt, done] : taken) {
        done(outcome(attempt));
        done(absl::UnknownError("calls after the first do nothing"));
      }
    }).join();
  };
  finish([](int) { return absl::UnavailableError("first"); });
  EXPECT_TRUE(journal.Await(40));
  finish([](int attempt) {
    EXPECT_EQ(attempt, 2);
    return absl::OkStatus();
  });
  EXPECT_TRUE(WaitUntil([&] { return client->in_flight() == 0; }));
  EXPECT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.count(), 40u);
  EXPECT_TRUE(bench.DeadLettersOf(*client).empty());
}

void ACompletionDestroyedUncalledIsAFailure(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({MakeHandler(
      "async", [&](const std::string_view&, const Received& received, Completion) { journal.Add(received); },
      {.topics = {bench.Topic()}, .max_retries = 1, .retry_delay = absl::Milliseconds(10)})});
  bench.Send(*client, bench.Topic(), "m");
  const auto letters = bench.AwaitDeadLetters(*client, 1);
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].failure.attempts, 2);
  EXPECT_EQ(letters[0].failure.status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(journal.count(), 2u);
}

// Stop waits for open completions as it does for running handlers.
void StopWaitsForCompletions(Bench& bench) {
  Journal journal, other;
  absl::Mutex mutex;
  std::optional<Completion> open;
  auto client = bench.Consume({MakeHandler("async",
                                           [&](const std::string_view&, const Received& received, Completion done) {
                                             absl::MutexLock lock(&mutex);
                                             open.emplace(std::move(done));
                                             journal.Add(received);
                                           },
                                           {.topics = {bench.Topic()}, .concurrency = 1})});
  bench.SendMany(*client, bench.Topic(), 10);
  EXPECT_TRUE(journal.Await(1));
  EXPECT_TRUE(WaitUntil([&] { return client->in_flight() == 10; }));
  std::atomic<bool> stopped{false};
  std::thread stop([&] {
    EXPECT_TRUE(client->Stop().ok());
    stopped = true;
  });
  auto after = bench.Consume({Recording("async", other, {.topics = {bench.Topic()}})});
  EXPECT_TRUE(WaitUntil([&] { return client->in_flight() == 1; })) << "released, so the stop has begun";
  // What lies in the partition of the one that is open waits for it.
  if (bench.capabilities().shares_messages) {
    EXPECT_TRUE(other.Await(9));
  }
  EXPECT_FALSE(stopped);
  {
    absl::MutexLock lock(&mutex);
    if (open) (*open)(absl::OkStatus());
  }
  stop.join();
  EXPECT_TRUE(other.Await(9));
  EXPECT_TRUE(after->Stop().ok());
  EXPECT_EQ(journal.count(), 1u);
  EXPECT_EQ(other.count(), 9u) << "the first was acknowledged";
}

}  // namespace

std::vector<Case> ShapeCases() {
  return {
      {"BatchesWithMixedOutcomes", BatchesWithMixedOutcomes, {}},
      {"ASmallBatchComesAfterItsWait", ASmallBatchComesAfterItsWait, {}},
      {"BatchesKeepTheOrderOfKeys", BatchesKeepTheOrderOfKeys, {}},
      {"ABatchThatThrowsFailsAll", ABatchThatThrowsFailsAll, {}},
      {"AsynchronousHandlersComplete", AsynchronousHandlersComplete, {}},
      {"ACompletionDestroyedUncalledIsAFailure", ACompletionDestroyedUncalledIsAFailure, {}},
      {"StopWaitsForCompletions", StopWaitsForCompletions, {}},
  };
}

}  // namespace messaging::conformance
