// Names of handlers, strict order across retries, and what is committed with a message.
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/conformance/cases.h"

namespace messaging::conformance {
namespace {

// The attempts of "old", and then a client whose handler has another name. Its retry is due at once when that starts.
void FailAsOld(Bench& bench, Journal& journal) {
  auto client = bench.Consume(
      {Recording("old", journal, {.topics = {bench.Topic()}, .retry_delay = absl::Milliseconds(100)}, FailTimes(1))});
  bench.Send(*client, bench.Topic(), "m", {.key = "k"});
  ASSERT_TRUE(journal.Await(1));
  ASSERT_TRUE(client->Stop().ok());
}

void FormerNamesTakeTheirRetries(Bench& bench) {
  Journal journal;
  FailAsOld(bench, journal);
  auto client = bench.Consume({Recording("new", journal, {.topics = {bench.Topic()}, .formerly = {"older", "old"}}),
                               Recording("bystander", journal, {.topics = {bench.Topic("other")}})});
  ASSERT_TRUE(journal.Await(2));
  EXPECT_EQ(journal.all()[1].handler, "new");
  EXPECT_EQ(journal.all()[1].attempt, 2);
  EXPECT_TRUE(bench.DeadLettersOf(*client).empty());
}

void ARetryForAnUnknownHandlerIsDeadLettered(Bench& bench) {
  Journal journal;
  FailAsOld(bench, journal);
  auto client = bench.Consume({Recording("another", journal, {.topics = {bench.Topic()}})});
  const auto letters = bench.AwaitDeadLetters(*client, 1);
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].message.payload, "m");
  EXPECT_EQ(letters[0].failure.handler, "old");
  EXPECT_NE(letters[0].failure.status.message().find("old"), std::string::npos) << letters[0].failure.status;
  EXPECT_TRUE(journal.Of("m").size() == 1u) << "another handler's retry is not handled";
}

void ANameTwiceDoesNotStart(Bench& bench) {
  Journal journal;
  for (const HandlerOptions& second :
       {HandlerOptions{.topics = {bench.Topic("b")}}, HandlerOptions{.topics = {bench.Topic("a")}}}) {
    auto client = bench.NewClient();
    client->AddHandler(Recording("same", journal, {.topics = {bench.Topic("a")}}));
    client->AddHandler(Recording("same", journal, second));
    const absl::Status started = client->Start();
    EXPECT_FALSE(started.ok());
    EXPECT_NE(started.message().find("same"), std::string::npos) << started;
  }
}

// Later ones of the failing key wait until it is handled; other keys do not.
void StrictOrderAcrossRetries(Bench& bench) {
  Journal journal;
  auto client =
      bench.Consume({Recording("h", journal,
                               {.topics = {bench.Topic()},
                                .max_retries = 2,
                                .retry_delay = absl::Milliseconds(150),
                                .order = Order::kPerKeyStrict},
                               [](const Received& received) {
                                 return received.payload() == "k0" ? FailTimes(2)(received) : absl::OkStatus();
                               })});
  bench.SendMany(*client, bench.Topic(), 5, "k", [](int) { return "k"; });
  bench.SendMany(*client, bench.Topic(), 20, "other", [](int i) { return absl::StrCat("other", i); });
  ASSERT_TRUE(journal.Await(27));
  std::vector<std::string> of_key;
  size_t others_before_last_attempt = 0;
  for (const Seen& seen : journal.all()) {
    if (seen.key == "k") of_key.push_back(seen.payload);
    if (seen.key != "k" && of_key.size() < 3) ++others_before_last_attempt;
  }
  EXPECT_EQ(of_key, (std::vector<std::string>{"k0", "k0", "k0", "k1", "k2", "k3", "k4"}));
  EXPECT_EQ(others_before_last_attempt, 20u) << "other keys waited";
}

// A dead letter ends the waiting, too.
void StrictOrderGoesOnAfterADeadLetter(Bench& bench) {
  Journal journal;
  auto client =
      bench.Consume({Recording("h", journal,
                               {.topics = {bench.Topic()},
                                .max_retries = 1,
                                .retry_delay = absl::Milliseconds(50),
                                .order = Order::kPerKeyStrict},
                               [](const Received& received) {
                                 return received.payload() == "k0" ? absl::UnavailableError("never") : absl::OkStatus();
                               })});
  bench.SendMany(*client, bench.Topic(), 3, "k", [](int) { return "k"; });
  ASSERT_TRUE(journal.Await(4));
  EXPECT_EQ(journal.payloads(), (std::vector<std::string>{"k0", "k0", "k1", "k2"}));
  EXPECT_EQ(bench.AwaitDeadLetters(*client, 1).size(), 1u);
}

// The key's place is not forgotten when its consumer stops while the retry waits.
void StrictOrderOutlivesItsConsumer(Bench& bench) {
  Journal journal;
  auto consume = [&] {
    return bench.Consume(
        {Recording("h", journal,
                   {.topics = {bench.Topic()}, .retry_delay = absl::Milliseconds(300), .order = Order::kPerKeyStrict},
                   [](const Received& received) {
                     return received.payload() == "k0" ? FailTimes(2)(received) : absl::OkStatus();
                   })});
  };
  auto first = consume();
  bench.SendMany(*first, bench.Topic(), 4, "k", [](int) { return "k"; });
  ASSERT_TRUE(journal.Await(1));
  ASSERT_TRUE(first->Stop().ok());
  auto second = consume();
  ASSERT_TRUE(journal.Await(6));
  EXPECT_EQ(journal.payloads(), (std::vector<std::string>{"k0", "k0", "k0", "k1", "k2", "k3"}));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(journal.all()[i].attempt, i + 1);
}

// A handler is told apart by its full name, and topics and groups may be as long as they may be, with any dots.
void LongNames(Bench& bench) {
  const std::string topic = bench.Topic() + std::string(120 - bench.Topic().size(), '.');
  const std::string group_end = std::string(120 - bench.Group("").size(), '-');
  Journal journal;
  const HandlerOptions options = {.topics = {topic}, .max_retries = 1, .retry_delay = absl::Milliseconds(20)};
  const std::string name(200, 'n');
  auto client = bench.Consume(
      {Recording(name + "1", journal, options, FailTimes(2)), Recording(name + "2", journal, options, FailTimes(1))},
      group_end);
  bench.Send(*client, topic, "m");
  const auto letters = bench.AwaitDeadLetters(*client, 1, group_end, topic);
  ASSERT_TRUE(journal.Await(4));
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].failure.handler, name + "1");
  EXPECT_EQ(letters[0].group, bench.Group(group_end));
  EXPECT_EQ(letters[0].message.topic, topic);
}

// Topics and groups whose names run together do not.
void NamesDoNotRunTogether(Bench& bench) {
  Journal journal;
  const auto options = [&](std::string_view topic, std::string_view group) {
    return HandlerOptions{.topics = {bench.Topic(topic)}, .max_retries = 0, .group = bench.Group(group)};
  };
  const Outcome fail = [](const Received&) { return absl::UnavailableError("never"); };
  auto client = bench.Consume({Recording("one", journal, options("a.b", "c"), fail),
                               Recording("two", journal, options("a", "b.c"), fail),
                               Recording("three", journal, options("a_b", "c"), fail)});
  bench.Send(*client, bench.Topic("a.b"), "1");
  bench.Send(*client, bench.Topic("a"), "2");
  bench.Send(*client, bench.Topic("a_b"), "3");
  ASSERT_TRUE(journal.Await(3));
  EXPECT_EQ(bench.AwaitDeadLetters(*client, 1, "c", bench.Topic("a.b"))[0].message.payload, "1");
  EXPECT_EQ(bench.AwaitDeadLetters(*client, 1, "b.c")[0].message.payload, "2");
  EXPECT_EQ(bench.AwaitDeadLetters(*client, 1, "c", bench.Topic("a_b"))[0].message.payload, "3");
}

struct Counts {
  std::atomic<int> made{0}, commits{0}, rollbacks{0};
};

// Fails to commit the first time.
struct Work {
  Counts* counts;
  absl::Status Commit() { return ++counts->commits == 1 ? absl::UnavailableError("disk full") : absl::OkStatus(); }
  void Rollback() { ++counts->rollbacks; }
};

void AFailedCommitIsAFailedAttempt(Bench& bench) {
  Counts counts;
  Journal journal;
  auto client = bench.NewClient();
  client->providers().ProvidePerMessage<Work>([&counts] {
    ++counts.made;
    return Work{&counts};
  });
  client->AddHandler(MakeHandler("h",
                                 [&journal](const std::string_view&, const Received& received, Work& work) {
                                   journal.Add(received);
                                   return received.attempt() == 2 ? absl::UnavailableError("handler")
                                                                  : absl::OkStatus();
                                 },
                                 {.topics = {bench.Topic()}, .retry_delay = absl::Milliseconds(10)}));
  ASSERT_TRUE(client->Start().ok());
  bench.Send(*client, bench.Topic(), "m");
  ASSERT_TRUE(journal.Await(3));
  ASSERT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.count(), 3u);  // Commit failed; the handler failed; both went well.
  EXPECT_EQ(counts.made, 3);
  EXPECT_EQ(counts.commits, 2);
  EXPECT_TRUE(bench.DeadLettersOf(*client).empty());
}

// Found before consumption starts, naming the handler and the type.
void ATypeThatNobodyProvidedDoesNotStart(Bench& bench) {
  auto client = bench.NewClient();
  client->AddHandler(MakeHandler("needy", [](const std::string_view&, Work& work) { return absl::OkStatus(); },
                                 {.topics = {bench.Topic()}}));
  const absl::Status started = client->Start();
  EXPECT_EQ(started.code(), absl::StatusCode::kFailedPrecondition) << started;
  EXPECT_NE(started.message().find("needy"), std::string::npos) << started;
  EXPECT_NE(started.message().find("Work"), std::string::npos) << started;
}

// A factory that fails makes the attempt fail, and the handler is not called.
void AFailedFactoryIsAFailedAttempt(Bench& bench) {
  std::atomic<int> made{0};
  Journal journal;
  auto client = bench.NewClient();
  client->providers().ProvidePerMessage<Work>([&made]() -> absl::StatusOr<std::unique_ptr<Work>> {
    if (++made == 1) return absl::UnavailableError("no connection");
    static Counts* counts = new Counts{.commits = 1};
    return std::make_unique<Work>(Work{counts});
  });
  client->AddHandler(MakeHandler("h",
                                 [&journal](const std::string_view&, const Received& received, Work& work) {
                                   journal.Add(received);
                                   return absl::OkStatus();
                                 },
                                 {.topics = {bench.Topic()}, .retry_delay = absl::Milliseconds(10)}));
  ASSERT_TRUE(client->Start().ok());
  bench.Send(*client, bench.Topic(), "m");
  ASSERT_TRUE(journal.Await(1));
  ASSERT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.all()[0].attempt, 2);
}

}  // namespace

std::vector<Case> IdentityCases() {
  return {
      {"FormerNamesTakeTheirRetries", FormerNamesTakeTheirRetries, {}},
      {"ARetryForAnUnknownHandlerIsDeadLettered", ARetryForAnUnknownHandlerIsDeadLettered, {}},
      {"ANameTwiceDoesNotStart", ANameTwiceDoesNotStart, {}},
      {"StrictOrderAcrossRetries", StrictOrderAcrossRetries, {}},
      {"StrictOrderGoesOnAfterADeadLetter", StrictOrderGoesOnAfterADeadLetter, {}},
      {"StrictOrderOutlivesItsConsumer", StrictOrderOutlivesItsConsumer, {Need::kGroupOrder}},
      {"LongNames", LongNames, {}},
      {"NamesDoNotRunTogether", NamesDoNotRunTogether, {}},
      {"ATypeThatNobodyProvidedDoesNotStart", ATypeThatNobodyProvidedDoesNotStart, {}},
      {"AFailedCommitIsAFailedAttempt", AFailedCommitIsAFailedAttempt, {}},
      {"AFailedFactoryIsAFailedAttempt", AFailedFactoryIsAFailedAttempt, {}},
  };
}

}  // namespace messaging::conformance
