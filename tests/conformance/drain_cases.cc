// Stop drains: finishes what is in hand, gives the rest back at once, and ends (design: rule 11).
#include <atomic>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/conformance/cases.h"

namespace messaging::conformance {
namespace {

// Members stop and start while messages flow: none lost, none twice.
void StopUnderLoad(Bench& bench) {
  const int n = bench.environment().messages;
  Journal journal;
  auto consume = [&] {
    return bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})}, "g", {.max_messages = 200});
  };
  auto sender = bench.NewClient();
  auto client = consume();
  std::thread sending([&] {
    bench.SendMany(*sender, bench.Topic(), n, "m", [](int i) { return i % 2 == 0 ? absl::StrCat(i % 11) : ""; });
  });
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(WaitUntil([&] { return journal.count() >= static_cast<size_t>(n * i / 20); }));
    const absl::Status stopped = client->Stop();
    EXPECT_TRUE(stopped.ok()) << stopped;
    EXPECT_EQ(client->in_flight(), 0u);
    client = consume();
  }
  sending.join();
  EXPECT_TRUE(journal.AwaitDistinct(n));
  EXPECT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.count(), static_cast<size_t>(n)) << "a clean stop repeats nothing";
}

// While the stopping member's handler still runs, another one gets all that it had not begun.
void WhatWasNotBegunIsReleasedAtOnce(Bench& bench) {
  Journal slow, other;
  Gate gate;
  auto stopping = bench.Consume({Recording("h", slow, {.topics = {bench.Topic()}},
                                           [&](const Received&) {
                                             gate.Pass();
                                             return absl::OkStatus();
                                           })},
                                "g", {.concurrency = 1});
  Gate::Opener opener(gate);
  bench.SendMany(*stopping, bench.Topic(), 50, "m", [](int i) { return absl::StrCat(i); });
  ASSERT_TRUE(gate.AwaitWaiting(1));
  ASSERT_TRUE(WaitUntil([&] { return stopping->in_flight() >= 10; })) << "fetched ahead";
  absl::Status stopped = absl::UnknownError("not stopped");
  std::atomic<bool> returned{false};
  std::thread stop([&] {
    stopped = stopping->Stop();
    returned = true;
  });
  auto takes_over = bench.Consume({Recording("h", other, {.topics = {bench.Topic()}})});
  EXPECT_TRUE(other.Await(49));
  EXPECT_FALSE(returned) << "Stop waits for what is in hand";
  gate.Open();
  stop.join();
  EXPECT_TRUE(stopped.ok()) << stopped;
  EXPECT_TRUE(takes_over->Stop().ok());
  EXPECT_EQ(slow.count(), 1u);
  EXPECT_EQ(other.count(), 49u);
  for (const Seen& seen : other.all()) EXPECT_EQ(seen.attempt, 1) << "a release counts no attempt";
}

// A handler that sees the drain may give up: its message goes to another member, no attempt counted.
void CancelledWhileStoppingIsARelease(Bench& bench) {
  Journal journal, other;
  Gate gate;
  auto stopping = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}, .max_retries = 0},
                                           [&](const Received&) {
                                             gate.Pass();
                                             return absl::CancelledError("stopping");
                                           })},
                                "g", {.concurrency = 1});
  Gate::Opener opener(gate);
  bench.SendMany(*stopping, bench.Topic(), 10);
  ASSERT_TRUE(gate.AwaitWaiting(1));
  ASSERT_TRUE(WaitUntil([&] { return stopping->in_flight() == 10; }));
  std::thread stop([&] { EXPECT_TRUE(stopping->Stop().ok()); });
  auto takes_over = bench.Consume({Recording("h", other, {.topics = {bench.Topic()}, .max_retries = 0})});
  EXPECT_TRUE(WaitUntil([&] { return stopping->in_flight() == 1; })) << "released, so the stop has begun";
  // What lies in the partition of the one that runs waits for it.
  if (bench.capabilities().shares_messages) {
    EXPECT_TRUE(other.Await(9));
  }
  gate.Open();
  stop.join();
  ASSERT_TRUE(other.Await(10));
  for (const Seen& seen : other.all()) EXPECT_EQ(seen.attempt, 1);
  EXPECT_EQ(other.distinct(), 10u);
  EXPECT_EQ(journal.count(), 1u);
  EXPECT_TRUE(bench.DeadLettersOf(*takes_over).empty());
}

// Stop gives up on it after drain_timeout, and names it; what it held is not lost.
void AHandlerThatNeverReturnsIsNamed(Bench& bench) {
  // The handler and what it uses outlive the case.
  static Gate* gate = new Gate;
  static Journal* journal = new Journal;
  auto client = bench.Consume({Recording("stuck", *journal, {.topics = {bench.Topic()}},
                                         [](const Received& received) {
                                           if (received.payload() == "stuck") gate->Pass();
                                           return absl::OkStatus();
                                         }),
                               Recording("innocent", *journal, {.topics = {bench.Topic()}})},
                              "g", {.drain_timeout = absl::Milliseconds(300)});
  Gate::Opener opener(*gate);
  bench.Send(*client, bench.Topic(), "stuck");
  ASSERT_TRUE(gate->AwaitWaiting(1));
  const absl::Time start = absl::Now();
  const absl::Status stopped = client->Stop();
  EXPECT_EQ(stopped.code(), absl::StatusCode::kDeadlineExceeded) << stopped;
  EXPECT_NE(stopped.message().find("stuck"), std::string::npos) << stopped;
  EXPECT_EQ(stopped.message().find("innocent"), std::string::npos) << stopped;
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(300));
  EXPECT_LE(absl::Now() - start, absl::Milliseconds(300) + 8 * Tolerance(absl::ZeroDuration()));
}

// An idle consumer stops at once, and stopping twice is no error.
void AnIdleConsumerStopsAtOnce(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})});
  const absl::Time start = absl::Now();
  EXPECT_TRUE(client->Stop().ok());
  EXPECT_TRUE(client->Stop().ok());
  EXPECT_LE(absl::Now() - start, absl::Seconds(5));
  EXPECT_FALSE(client->Start().ok()) << "a client consumes once";
}

// Retries that wait for their time do not hold up a stop, and are there afterwards.
void WaitingRetriesDoNotHoldUpAStop(Bench& bench) {
  Journal journal;
  auto client = bench.Consume(
      {Recording("h", journal, {.topics = {bench.Topic()}, .retry_delay = absl::Hours(1)}, FailTimes(1))});
  bench.SendMany(*client, bench.Topic(), 10);
  ASSERT_TRUE(journal.Await(10));
  const absl::Time start = absl::Now();
  EXPECT_TRUE(client->Stop().ok());
  EXPECT_LE(absl::Now() - start, absl::Seconds(10));
  EXPECT_TRUE(bench.DeadLettersOf(*client).empty());
}

// Messages of one key that wait for each other, some in hand: all are handled or given back, in order.
void StopKeepsTheOrderOfAKey(Bench& bench) {
  Journal journal;
  Gate gate;
  auto first = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}}, [&](const Received&) {
    gate.Pass();
    return absl::OkStatus();
  })});
  Gate::Opener opener(gate);
  bench.SendMany(*first, bench.Topic(), 20, "m", [](int) { return "k"; });
  ASSERT_TRUE(gate.AwaitWaiting(1));
  std::thread stop([&] { EXPECT_TRUE(first->Stop().ok()); });
  auto second = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})});
  gate.Open();
  stop.join();
  ASSERT_TRUE(journal.AwaitDistinct(20));
  EXPECT_TRUE(second->Stop().ok());
  ASSERT_EQ(journal.count(), 20u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(journal.all()[i].payload, absl::StrCat("m", i));
}

}  // namespace

std::vector<Case> DrainCases() {
  return {
      {"StopUnderLoad", StopUnderLoad, {}},
      {"WhatWasNotBegunIsReleasedAtOnce", WhatWasNotBegunIsReleasedAtOnce, {Need::kSharedMessages}},
      {"CancelledWhileStoppingIsARelease", CancelledWhileStoppingIsARelease, {}},
      {"AHandlerThatNeverReturnsIsNamed", AHandlerThatNeverReturnsIsNamed, {}},
      {"AnIdleConsumerStopsAtOnce", AnIdleConsumerStopsAtOnce, {}},
      {"WaitingRetriesDoNotHoldUpAStop", WaitingRetriesDoNotHoldUpAStop, {}},
      {"StopKeepsTheOrderOfAKey", StopKeepsTheOrderOfAKey, {Need::kGroupOrder}},
  };
}

}  // namespace messaging::conformance
