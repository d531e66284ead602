// What the person on call does and sees: pauses, and a message's trace.
#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/conformance/cases.h"

namespace messaging::conformance {
namespace {

void APausedHandlerWaitsAndOthersGoOn(Bench& bench) {
  constexpr int kMessages = 200;
  Journal journal;
  ConsumerOptions options;
  options.max_messages = 50;  // Far fewer than what the paused one leaves.
  auto client = bench.Consume({Recording("paused", journal, {.topics = {bench.Topic("a")}}),
                               Recording("other", journal, {.topics = {bench.Topic("b")}})},
                              "g", options);
  ASSERT_TRUE(client->Pause({.handler = "paused"}).ok());
  const auto key = [](int i) { return absl::StrCat("k", i % 7); };
  bench.SendMany(*client, bench.Topic("a"), kMessages, "", key);
  bench.SendMany(*client, bench.Topic("b"), kMessages, "b");
  ASSERT_TRUE(WaitUntil([&] { return journal.count("other") >= kMessages; })) << journal.count("other");
  EXPECT_EQ(journal.count("paused"), 0u);
  EXPECT_EQ(client->progress().handlers[0].gate, messaging::Gate::kPaused);
  ASSERT_TRUE(client->Resume({.handler = "paused"}).ok());
  ASSERT_TRUE(WaitUntil([&] { return journal.count("paused") >= kMessages; })) << journal.count("paused");
  std::map<std::string, int> last;
  for (const Seen& seen : journal.all()) {
    if (seen.handler != "paused") continue;
    const int number = std::stoi(seen.payload);
    auto [before, first] = last.try_emplace(*seen.key, -1);
    EXPECT_GT(number, before->second) << "out of order, key " << *seen.key;
    before->second = number;
  }
  EXPECT_TRUE(client->Stop().ok());
}

void APausedTopicWaitsAndComesBack(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic("a"), bench.Topic("b")}})});
  for (int round = 0; round < 3; ++round) {
    const size_t before = journal.count();
    ASSERT_TRUE(client->Pause({.topic = bench.Topic("a")}).ok());
    bench.Send(*client, bench.Topic("a"), absl::StrCat("a", round));
    bench.Send(*client, bench.Topic("b"), absl::StrCat("b", round));
    ASSERT_TRUE(journal.Await(before + 1));
    EXPECT_EQ(journal.all()[before].topic, bench.Topic("b"));
    ASSERT_TRUE(client->Resume({.topic = bench.Topic("a")}).ok());
    ASSERT_TRUE(journal.Await(before + 2));
  }
  EXPECT_EQ(journal.count(), 6u);
}

// Members go on to belong to the group, and what one that is paused has in hand is the others' when it stops.
void WhatAPausedMemberHasIsOthersWhenItStops(Bench& bench) {
  constexpr int kMessages = 40;
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})});
  ASSERT_TRUE(client->Pause().ok());
  bench.SendMany(*client, bench.Topic(), kMessages);
  EXPECT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.count(), 0u);
  auto next = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})});
  ASSERT_TRUE(journal.AwaitDistinct(kMessages));
  EXPECT_TRUE(bench.DeadLettersOf(*next).empty());
}

void ABreakerKeepsWhatFails(Bench& bench) {
  Journal journal;
  std::atomic<bool> down{true};
  std::atomic<int> handled{0};
  auto client = bench.Consume({Recording(
      "h", journal,
      {.topics = {bench.Topic()}, .max_retries = 0, .breaker = {.failures = 1, .probe_after = absl::Milliseconds(50)}},
      [&](const Received&) {
        if (down) return absl::UnavailableError("down");
        ++handled;
        return absl::OkStatus();
      })});
  bench.SendMany(*client, bench.Topic(), 20);
  ASSERT_TRUE(journal.Await(10));  // Ten have been tried, one after the other.
  down = false;
  ASSERT_TRUE(WaitUntil([&] { return client->in_flight() == 0 && handled == 20; }));
  EXPECT_TRUE(bench.DeadLettersOf(*client).empty());
  for (const Seen& seen : journal.all()) EXPECT_EQ(seen.attempt, 1);
}

// Drivers that know of partitions, or of a connection that is lost, say so.
void AMemberSaysWhatItMayRead(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})});
  const auto reads = [&] {
    const Progress progress = client->progress();
    if (progress.assignments.size() != 1) return false;
    const Assignment& only = progress.assignments[0];
    return only.group == bench.Group() && only.missing.empty() && only.partitions != 0;
  };
  EXPECT_TRUE(WaitUntil(reads)) << client->progress().assignments[0].missing;
  bench.Send(*client, bench.Topic(), "m");
  ASSERT_TRUE(journal.Await(1));
  EXPECT_TRUE(reads());
}

void ATraceGoesThroughRetriesDeadLettersAndWhatHandlersSend(Bench& bench) {
  const std::vector<Header> traced = {{"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
                                      {"tracestate", "foo=1,bar=2"}};
  Journal journal;
  Client* sender = nullptr;
  auto client = bench.NewClient();
  sender = client.get();
  client->AddHandler(Recording(
      "first", journal, {.topics = {bench.Topic("t")}, .max_retries = 1, .retry_delay = absl::Milliseconds(20)},
      [&](const Received& received) {
        sender->producer().Send(bench.Topic("next"), std::string("next"));
        return received.last_attempt() ? absl::InternalError("for good") : absl::UnavailableError("not yet");
      }));
  client->AddHandler(Recording("second", journal, {.topics = {bench.Topic("next")}}));
  ASSERT_TRUE(client->Start().ok());
  bench.Send(*client, bench.Topic("t"), "m", {.headers = traced});
  const std::vector<DeadLetter> dead = bench.AwaitDeadLetters(*client, 1);
  ASSERT_EQ(dead.size(), 1u);
  EXPECT_EQ(dead[0].message.headers, traced);
  ASSERT_TRUE(WaitUntil([&] { return journal.count("first") == 2 && journal.count("second") == 2; }));
  for (const Seen& seen : journal.all()) EXPECT_EQ(seen.headers, traced) << seen.handler << " " << seen.attempt;
}

}  // namespace

std::vector<Case> ObserveCases() {
  return {{"APausedHandlerWaitsAndOthersGoOn", &APausedHandlerWaitsAndOthersGoOn, {Need::kClosesTopics}},
          {"APausedTopicWaitsAndComesBack", &APausedTopicWaitsAndComesBack, {}},
          {"WhatAPausedMemberHasIsOthersWhenItStops", &WhatAPausedMemberHasIsOthersWhenItStops, {}},
          {"ABreakerKeepsWhatFails", &ABreakerKeepsWhatFails, {}},
          {"AMemberSaysWhatItMayRead", &AMemberSaysWhatItMayRead, {}},
          {"ATraceGoesThroughRetriesDeadLettersAndWhatHandlersSend",
           &ATraceGoesThroughRetriesDeadLettersAndWhatHandlersSend,
           {}}};
}

}  // namespace messaging::conformance
