// Counterparts of the sixteen cases, and the stress test, of Watermill's suite (pubsub/tests/test_pubsub.go).
#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/conformance/cases.h"

namespace messaging::conformance {
namespace {

std::multiset<std::string> Sorted(std::vector<std::string> texts) { return {texts.begin(), texts.end()}; }

std::multiset<std::string> Numbered(std::string_view prefix, int n) {
  std::multiset<std::string> texts;
  for (int i = 0; i < n; ++i) texts.insert(absl::StrCat(prefix, i));
  return texts;
}

void PublishSubscribe(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})});
  std::map<std::string, std::string> ids;
  for (int i = 0; i < 100; ++i) {
    const std::string body = absl::StrCat("body", i);
    const Confirmation sent = client->producer().Send(
        bench.Topic(), body, {.headers = {{"number", absl::StrCat(i)}}, .content_type = "text/x-test"});
    ids[body] = sent.id();
    ASSERT_TRUE(sent.Wait().ok());
  }
  ASSERT_TRUE(journal.Await(100));
  for (const Seen& seen : journal.all()) {
    EXPECT_EQ(seen.id, ids[seen.payload]);
    EXPECT_EQ(seen.content_type, "text/x-test");
    EXPECT_EQ(seen.headers, (std::vector<Header>{{"number", seen.payload.substr(4)}}));
    EXPECT_EQ(seen.attempt, 1);
  }
  EXPECT_EQ(Sorted(journal.payloads()), Numbered("body", 100));
}

void ConcurrentSubscribe(Bench& bench) {
  const int n = bench.environment().messages;
  Journal journal;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})}, "g", {.concurrency = 5}));
  }
  std::vector<std::thread> senders;
  for (int i = 0; i < 4; ++i) {
    senders.emplace_back([&, i] { bench.SendMany(*clients[i], bench.Topic(), n / 4, absl::StrCat("s", i, "-")); });
  }
  for (std::thread& sender : senders) sender.join();
  ASSERT_TRUE(journal.AwaitDistinct(n / 4 * 4));
  for (auto& client : clients) EXPECT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.count(), journal.distinct()) << "nothing failed, and some came twice";
}

void ConcurrentSubscribeSeveralTopics(Bench& bench) {
  Journal journal;
  HandlerOptions options;
  for (int i = 0; i < 20; ++i) options.topics.push_back(bench.Topic(absl::StrCat("t", i)));
  auto client = bench.Consume({Recording("h", journal, options)});
  std::vector<std::thread> senders;
  for (const std::string& topic : options.topics) {
    senders.emplace_back([&] { bench.SendMany(*client, topic, 50, absl::StrCat(topic, "-")); });
  }
  for (std::thread& sender : senders) sender.join();
  ASSERT_TRUE(journal.AwaitDistinct(20 * 50));
  for (const Seen& seen : journal.all()) EXPECT_TRUE(seen.payload.starts_with(seen.topic + "-"));
  EXPECT_EQ(journal.count(), 20u * 50u);
}

void ResendOnError(Bench& bench) {
  Journal journal;
  auto client = bench.Consume(
      {Recording("h", journal, {.topics = {bench.Topic()}, .retry_delay = absl::Milliseconds(50)}, FailTimes(2))});
  bench.SendMany(*client, bench.Topic(), 100);
  ASSERT_TRUE(journal.Await(300));
  for (int i = 0; i < 100; ++i) {
    const std::vector<Seen> seen = journal.Of(absl::StrCat("m", i));
    ASSERT_EQ(seen.size(), 3u);
    for (int attempt = 0; attempt < 3; ++attempt) EXPECT_EQ(seen[attempt].attempt, attempt + 1);
  }
}

// While a message is in hand, neither it nor the next one of its key comes to anyone else.
void NoAckNoNextOfTheKey(Bench& bench) {
  Journal journal;
  Gate gate;
  auto handler = [&] {
    return Recording("h", journal, {.topics = {bench.Topic()}}, [&](const Received& received) {
      if (received.payload() == "first") gate.Pass();
      return absl::OkStatus();
    });
  };
  auto client = bench.Consume({handler()});
  std::unique_ptr<Client> other;
  // Without order over the group another member may get the key's next message.
  if (bench.capabilities().order == Capabilities::OrderScope::kGroup) other = bench.Consume({handler()});
  Gate::Opener opener(gate);
  bench.Send(*client, bench.Topic(), "first", {.key = "k"});
  ASSERT_TRUE(gate.AwaitWaiting(1));
  bench.Send(*client, bench.Topic(), "second", {.key = "k"});
  bench.SendMany(*client, bench.Topic(), 50, "other");
  ASSERT_TRUE(journal.AwaitDistinct(51));
  EXPECT_TRUE(journal.Of("second").empty());
  EXPECT_EQ(journal.Of("first").size(), 1u);
  gate.Open();
  ASSERT_TRUE(journal.AwaitDistinct(52));
  EXPECT_EQ(journal.count(), 52u);
}

void ContinueAfterClose(Bench& bench) {
  const int n = bench.environment().messages;
  Journal journal;
  auto sender = bench.NewClient();
  bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})}).reset();  // The group exists.
  bench.SendMany(*sender, bench.Topic(), n);
  for (int sitting = 1; sitting <= 5; ++sitting) {
    auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})});
    ASSERT_TRUE(journal.Await(n / 5 * sitting));
    ASSERT_TRUE(client->Stop().ok());
  }
  EXPECT_EQ(journal.distinct(), static_cast<size_t>(n));
  EXPECT_EQ(journal.count(), static_cast<size_t>(n)) << "a clean stop repeats nothing";
}

void ConcurrentClose(Bench& bench) {
  const int n = bench.environment().messages;
  Journal journal;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})}));
  auto sender = bench.NewClient();
  std::thread sending([&] { bench.SendMany(*sender, bench.Topic(), n); });
  EXPECT_TRUE(journal.Await(1));
  std::vector<std::thread> closers;
  for (auto& client : clients) {
    for (int i = 0; i < 2; ++i) {
      closers.emplace_back([&client] { EXPECT_TRUE(client->Stop().ok()); });
    }
  }
  for (std::thread& closer : closers) closer.join();
  sending.join();
  auto last = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})});
  ASSERT_TRUE(journal.AwaitDistinct(n));
  EXPECT_TRUE(last->Stop().ok());
  EXPECT_EQ(journal.count(), static_cast<size_t>(n));
}

void ContinueAfterErrors(Bench& bench) {
  Journal journal;
  std::atomic<int> failures{0};
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(bench.Consume(
        {Recording("h", journal, {.topics = {bench.Topic()}, .max_retries = 1000, .retry_delay = absl::ZeroDuration()},
                   [&failures](const Received&) {
                     return failures.fetch_add(1) < 300 ? absl::UnavailableError("not yet") : absl::OkStatus();
                   })}));
  }
  bench.SendMany(*clients[0], bench.Topic(), 50);
  ASSERT_TRUE(journal.Await(350));
  for (auto& client : clients) EXPECT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.count(), 350u);
  EXPECT_EQ(journal.distinct(), 50u);
}

void InOrderPerKey(Bench& bench) {
  const int n = bench.environment().messages;
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})});
  bench.SendMany(*client, bench.Topic(), n, "", [](int i) { return absl::StrCat("key", i % 7); });
  ASSERT_TRUE(journal.Await(n));
  std::map<std::string, int> last;
  for (const Seen& seen : journal.all()) {
    int number = -1;
    ASSERT_TRUE(absl::SimpleAtoi(seen.payload, &number));
    auto [at, fresh] = last.try_emplace(*seen.key, number);
    EXPECT_TRUE(fresh || number > at->second) << *seen.key << ": " << number << " after " << at->second;
    at->second = number;
  }
}

// The end of a producer resolves all it has sent, and what it says was accepted arrives.
void PublisherClose(Bench& bench) {
  const int n = bench.environment().messages;
  auto sender = bench.NewClient();
  bench.Expect(*sender, bench.Topic());
  std::vector<Confirmation> confirmations;
  for (int i = 0; i < n; ++i) confirmations.push_back(sender->producer().Send(bench.Topic(), absl::StrCat("m", i)));
  sender.reset();
  size_t accepted = 0;
  for (const Confirmation& confirmation : confirmations) {
    ASSERT_TRUE(confirmation.resolved());
    if (confirmation.Wait(absl::ZeroDuration()).ok()) ++accepted;
  }
  EXPECT_GT(accepted, 0u);
  if (!bench.capabilities().new_group_sees_old) return;
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})});
  EXPECT_TRUE(journal.AwaitDistinct(accepted));
}

void EachTopicToItsHandlers(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("one", journal, {.topics = {bench.Topic("a")}}),
                               Recording("two", journal, {.topics = {bench.Topic("b")}}),
                               Recording("both", journal, {.topics = {bench.Topic("a"), bench.Topic("b")}})});
  bench.Send(*client, bench.Topic("a"), "to a");
  bench.Send(*client, bench.Topic("b"), "to b");
  ASSERT_TRUE(journal.Await(4));
  EXPECT_EQ(journal.payloads("one"), (std::vector<std::string>{"to a"}));
  EXPECT_EQ(journal.payloads("two"), (std::vector<std::string>{"to b"}));
  EXPECT_EQ(Sorted(journal.payloads("both")), (std::multiset<std::string>{"to a", "to b"}));
}

// Watermill's contexts: what a handler knows of its message and its time.
void MessageContext(Bench& bench) {
  Journal journal;
  absl::Time deadline;
  const absl::Time sent_at = absl::FromUnixMillis(absl::ToUnixMillis(absl::Now()) - 5'000);
  auto client = bench.Consume({Recording(
      "context", journal,
      {.topics = {bench.Topic()}, .max_retries = 4, .retry_delay = absl::Milliseconds(10), .timeout = absl::Minutes(2)},
      [&](const Received& received) {
        deadline = received.deadline();
        EXPECT_EQ(received.last_attempt(), false);
        return FailTimes(1)(received);
      })});
  const absl::Time before = absl::Now();
  bench.Send(*client, bench.Topic(), "m", {.key = "k", .id = "own-id", .timestamp = sent_at});
  ASSERT_TRUE(journal.Await(2));
  ASSERT_TRUE(client->Stop().ok());
  for (int i = 0; i < 2; ++i) {
    const Seen seen = journal.all()[i];
    EXPECT_EQ(seen.attempt, i + 1);
    EXPECT_EQ(seen.max_attempts, 5);
    EXPECT_EQ(seen.handler, "context");
    EXPECT_EQ(seen.group, bench.Group());
    EXPECT_EQ(seen.topic, bench.Topic());
    EXPECT_EQ(seen.id, "own-id");
    EXPECT_EQ(seen.key, "k");
    EXPECT_EQ(seen.timestamp, sent_at);
  }
  EXPECT_GE(deadline, before + absl::Minutes(2));
  EXPECT_LE(deadline, absl::Now() + absl::Minutes(2));
}

// Watermill's cancelled subscription: Stop ends Wait, and then no handler is called.
void StopEndsWait(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})});
  absl::Status waited = absl::UnknownError("still waiting");
  std::thread waiting([&] { waited = client->Wait(); });
  bench.Send(*client, bench.Topic(), "before");
  EXPECT_TRUE(journal.Await(1));
  EXPECT_TRUE(client->Stop().ok());
  waiting.join();
  EXPECT_TRUE(waited.ok()) << waited;
  bench.Send(*client, bench.Topic(), "after");
  EXPECT_TRUE(client->Stop().ok()) << "once more";
  EXPECT_EQ(journal.count(), 1u);
}

void NewSubscriberReceivesOldMessages(Bench& bench) {
  auto sender = bench.NewClient();
  bench.SendMany(*sender, bench.Topic(), 100, "old");
  Journal journal;
  auto old = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})}, "from-beginning");
  ASSERT_TRUE(journal.Await(100));
  Journal later;
  auto now =
      bench.Consume({Recording("h", later, {.topics = {bench.Topic()}})}, "from-now", {.start_at = StartAt::kNow});
  bench.SendMany(*sender, bench.Topic(), 10, "new");
  ASSERT_TRUE(journal.Await(110));
  ASSERT_TRUE(later.Await(10));
  EXPECT_TRUE(now->Stop().ok());
  EXPECT_EQ(Sorted(later.payloads()), Numbered("new", 10));
}

void Reconnect(Bench& bench) {
  const int n = bench.environment().messages;
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})});
  std::thread sending([&] { bench.SendMany(*client, bench.Topic(), n); });
  for (int restart = 1; restart <= 2; ++restart) {
    EXPECT_TRUE(journal.AwaitDistinct(n / 4 * restart));
    const absl::Status restarted = bench.environment().restart_server(/*kill=*/true);
    EXPECT_TRUE(restarted.ok()) << restarted;
  }
  sending.join();
  EXPECT_TRUE(journal.AwaitDistinct(n));
}

void ConsumerGroups(Bench& bench) {
  Journal one, two;
  auto first = bench.Consume({Recording("h", one, {.topics = {bench.Topic()}})}, "one");
  auto second = bench.Consume({Recording("h", one, {.topics = {bench.Topic()}})}, "one");
  auto third = bench.Consume({Recording("h", two, {.topics = {bench.Topic()}})}, "two");
  bench.SendMany(*first, bench.Topic(), 300);
  ASSERT_TRUE(one.AwaitDistinct(300));
  ASSERT_TRUE(two.AwaitDistinct(300));
  for (Client* client : {first.get(), second.get(), third.get()}) EXPECT_TRUE(client->Stop().ok());
  EXPECT_EQ(Sorted(one.payloads()), Numbered("m", 300));
  EXPECT_EQ(Sorted(two.payloads()), Numbered("m", 300));
}

// All at once: topics, groups, keys, failures, members that come and go.
void Stress(Bench& bench) {
  const int n = bench.environment().messages / 4;
  Journal journal;
  HandlerOptions options = {.retry_delay = absl::Milliseconds(20)};
  for (int i = 0; i < 4; ++i) options.topics.push_back(bench.Topic(absl::StrCat("t", i)));
  auto handler = [&] {
    return Recording("h", journal, options, [](const Received& received) {
      return received.payload().ends_with("7") ? FailTimes(2)(received) : absl::OkStatus();
    });
  };
  auto stays = bench.Consume({handler()});
  std::vector<std::thread> senders;
  for (int i = 0; i < 4; ++i) {
    senders.emplace_back([&, i] {
      bench.SendMany(*stays, options.topics[i], n, absl::StrCat("t", i, "-"),
                     [](int m) { return m % 2 == 0 ? absl::StrCat(m % 10) : ""; });
    });
  }
  for (int i = 0; i < 5; ++i) {
    auto comes_and_goes = bench.Consume({handler()});
    EXPECT_TRUE(comes_and_goes->Stop().ok());
  }
  for (std::thread& sender : senders) sender.join();
  const size_t calls = 4 * (n + 2 * (n / 10));
  ASSERT_TRUE(journal.Await(calls));
  EXPECT_TRUE(stays->Stop().ok());
  EXPECT_EQ(journal.count(), calls);
  EXPECT_EQ(journal.distinct(), 4u * n);
  EXPECT_TRUE(bench.DeadLettersOf(*stays).empty());
}

}  // namespace

std::vector<Case> WatermillCases() {
  return {
      {"PublishSubscribe", PublishSubscribe, {}},
      {"ConcurrentSubscribe", ConcurrentSubscribe, {}},
      {"ConcurrentSubscribeSeveralTopics", ConcurrentSubscribeSeveralTopics, {}},
      {"ResendOnError", ResendOnError, {}},
      {"NoAckNoNextOfTheKey", NoAckNoNextOfTheKey, {}},
      {"ContinueAfterClose", ContinueAfterClose, {}},
      {"ConcurrentClose", ConcurrentClose, {}},
      {"ContinueAfterErrors", ContinueAfterErrors, {}},
      {"InOrderPerKey", InOrderPerKey, {}},
      {"PublisherClose", PublisherClose, {}},
      {"EachTopicToItsHandlers", EachTopicToItsHandlers, {}},
      {"MessageContext", MessageContext, {}},
      {"StopEndsWait", StopEndsWait, {}},
      {"NewSubscriberReceivesOldMessages", NewSubscriberReceivesOldMessages, {Need::kOldMessages}},
      {"Reconnect", Reconnect, {Need::kRestartServer}},
      {"ConsumerGroups", ConsumerGroups, {}},
      {"Stress", Stress, {}},
  };
}

}  // namespace messaging::conformance
