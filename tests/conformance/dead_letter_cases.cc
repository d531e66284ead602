// Dead letters: kept with why, listed, shown, replayed to the failing handler only, purged (design: rule 7).
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "messaging/broker/broker.h"
#include "tests/conformance/cases.h"

namespace messaging::conformance {
namespace {

HandlerOptions Once(const std::string& topic) {
  return {.topics = {topic}, .max_retries = 1, .retry_delay = absl::Milliseconds(10)};
}

absl::Status Fail(const Received& received) {
  return absl::UnavailableError(absl::StrCat("why ", received.payload(), " at ", received.attempt()));
}

void DeadLettersSayWhy(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, Once(bench.Topic()), Fail)});
  const absl::Time before = absl::Now();
  bench.Send(*client, bench.Topic(), "m", {.key = "k", .headers = {{"a", "b"}}, .id = "own-id"});
  const auto letters = bench.AwaitDeadLetters(*client, 1);
  ASSERT_EQ(letters.size(), 1u);
  const DeadLetter& letter = letters[0];
  const std::vector<Seen> seen = journal.Of("m");
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_FALSE(letter.id.empty());
  EXPECT_EQ(letter.group, bench.Group());
  EXPECT_EQ(letter.message.topic, bench.Topic());
  EXPECT_EQ(letter.message.payload, "m");
  EXPECT_EQ(letter.message.key, "k");
  EXPECT_EQ(letter.message.id, "own-id");
  EXPECT_EQ(letter.message.headers, (std::vector<Header>{{"a", "b"}}));
  EXPECT_EQ(letter.failure.handler, "h");
  EXPECT_EQ(letter.failure.attempts, 2);
  EXPECT_EQ(letter.failure.status, absl::UnavailableError("why m at 2"));
  const absl::Duration coarse = absl::Milliseconds(2);  // Stored times may be rounded.
  EXPECT_GE(letter.failure.first, seen[0].at - coarse);
  EXPECT_LE(letter.failure.first, seen[1].at + coarse);
  EXPECT_GE(letter.failure.last, seen[1].at - coarse);
  EXPECT_LE(letter.failure.last, absl::Now() + coarse);
  EXPECT_GE(letter.dead_since, before - coarse);
  EXPECT_LE(letter.dead_since, absl::Now() + coarse);
}

size_t Count(Client& client, const DeadLetterFilter& filter) {
  size_t count = 0;
  EXPECT_TRUE(client.broker().dead_letters().List(filter, [&](const DeadLetter&) { return ++count, true; }).ok());
  return count;
}

void DeadLettersAreFiltered(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("one", journal, Once(bench.Topic("a")), Fail),
                               Recording("two", journal, Once(bench.Topic("a")), Fail),
                               Recording("three", journal, Once(bench.Topic("b")), Fail)});
  auto other = bench.Consume({Recording("one", journal, Once(bench.Topic("a")), Fail)}, "other");
  bench.SendMany(*client, bench.Topic("a"), 3, "a");
  bench.SendMany(*client, bench.Topic("b"), 2, "b");
  const auto letters = bench.AwaitDeadLetters(*client, 8);
  bench.AwaitDeadLetters(*other, 3, "other");
  ASSERT_EQ(letters.size(), 8u);
  EXPECT_TRUE(std::is_sorted(letters.begin(), letters.end(),
                             [](const DeadLetter& x, const DeadLetter& y) { return x.dead_since < y.dead_since; }));
  const std::string g = bench.Group();
  EXPECT_EQ(Count(*client, {.group = g, .topic = bench.Topic("a")}), 6u);
  EXPECT_EQ(Count(*client, {.group = g, .topic = bench.Topic("b")}), 2u);
  EXPECT_EQ(Count(*client, {.group = g, .handler = "two"}), 3u);
  EXPECT_EQ(Count(*client, {.topic = bench.Topic("a"), .handler = "one"}), 6u) << "of both groups";
  EXPECT_EQ(Count(*client, {.group = g, .ids = {letters[0].id, letters[5].id}}), 2u);
  EXPECT_EQ(Count(*client, {.group = g, .handler = "three", .ids = {letters[7].message.id}}),
            letters[7].failure.handler == "three" ? 1u : 0u);
  EXPECT_EQ(Count(*client, {.group = g, .since = absl::Now() + absl::Hours(1)}), 0u);
  EXPECT_EQ(Count(*client, {.group = bench.Group("nobody")}), 0u);
  size_t visited = 0;
  EXPECT_TRUE(
      client->broker().dead_letters().List({.group = g}, [&](const DeadLetter&) { return ++visited < 3; }).ok());
  EXPECT_EQ(visited, 3u);
}

// Only the handler that failed gets it, of its group, with its attempts at zero; then it is gone from the list.
void ReplayGoesToTheFailingHandlerOnly(Bench& bench) {
  Journal journal;
  std::atomic<bool> mended{false};
  auto failing = [&](const Received& received) { return mended ? absl::OkStatus() : Fail(received); };
  auto client = bench.Consume(
      {Recording("bad", journal, Once(bench.Topic()), failing), Recording("good", journal, Once(bench.Topic()))});
  auto other = bench.Consume({Recording("bad", journal, Once(bench.Topic()))}, "other");
  bench.SendMany(*client, bench.Topic(), 3);
  const auto letters = bench.AwaitDeadLetters(*client, 3);
  ASSERT_TRUE(journal.Await(3 * (2 + 1 + 1)));
  ASSERT_EQ(letters.size(), 3u);
  mended = true;
  const std::string first = letters[0].message.payload;
  absl::StatusOr<int64_t> replayed =
      client->broker().dead_letters().Replay({.group = bench.Group(), .ids = {letters[0].id}});
  ASSERT_TRUE(replayed.ok()) << replayed.status();
  EXPECT_EQ(*replayed, 1);
  ASSERT_TRUE(journal.Await(13));
  EXPECT_EQ(bench.DeadLettersOf(*client).size(), 2u);
  replayed = client->broker().dead_letters().Replay({.group = bench.Group()});
  ASSERT_TRUE(replayed.ok()) << replayed.status();
  EXPECT_EQ(*replayed, 2);
  ASSERT_TRUE(journal.Await(15));
  EXPECT_TRUE(bench.DeadLettersOf(*client).empty());
  ASSERT_TRUE(client->Stop().ok());
  ASSERT_TRUE(other->Stop().ok());
  const std::vector<Seen> all = journal.all();
  ASSERT_EQ(all.size(), 15u);
  EXPECT_EQ(all[12].payload, first);
  for (size_t i = 12; i < 15; ++i) {
    EXPECT_EQ(all[i].handler, "bad");
    EXPECT_EQ(all[i].group, bench.Group());
    EXPECT_EQ(all[i].attempt, 1);
    EXPECT_EQ(all[i].topic, bench.Topic());
  }
}

// What fails again after a replay dies again, after as many attempts as ever.
void AReplayMayDieAgain(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, Once(bench.Topic()), Fail)});
  bench.Send(*client, bench.Topic(), "m");
  bench.AwaitDeadLetters(*client, 1);
  ASSERT_TRUE(client->broker().dead_letters().Replay({.group = bench.Group()}).ok());
  ASSERT_TRUE(journal.Await(4));
  const auto letters = bench.AwaitDeadLetters(*client, 1);
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].failure.attempts, 2);
  EXPECT_EQ(letters[0].message.payload, "m");
}

void PurgeDeletesForGood(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, Once(bench.Topic()), Fail)});
  bench.SendMany(*client, bench.Topic(), 3);
  const auto letters = bench.AwaitDeadLetters(*client, 3);
  ASSERT_EQ(letters.size(), 3u);
  DeadLetters& dead = client->broker().dead_letters();
  absl::StatusOr<int64_t> purged = dead.Purge({.group = bench.Group(), .ids = {letters[1].id}});
  ASSERT_TRUE(purged.ok()) << purged.status();
  EXPECT_EQ(*purged, 1);
  EXPECT_EQ(bench.DeadLettersOf(*client).size(), 2u);
  purged = dead.Purge({.group = bench.Group()});
  ASSERT_TRUE(purged.ok()) << purged.status();
  EXPECT_EQ(*purged, 2);
  EXPECT_TRUE(bench.DeadLettersOf(*client).empty());
  const absl::StatusOr<int64_t> replayed = dead.Replay({.group = bench.Group()});
  ASSERT_TRUE(replayed.ok()) << replayed.status();
  EXPECT_EQ(*replayed, 0);
  EXPECT_EQ(journal.count(), 6u);
}

// Looking at them changes nothing for the group, and they outlive their consumer.
void ListingMovesNothing(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, Once(bench.Topic()), Fail)});
  bench.SendMany(*client, bench.Topic(), 3);
  bench.AwaitDeadLetters(*client, 3);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(bench.DeadLettersOf(*client).size(), 3u);
  client.reset();
  auto reader = bench.NewClient("reader");
  EXPECT_EQ(bench.DeadLettersOf(*reader).size(), 3u);
  EXPECT_EQ(journal.count(), 6u);
}

// While dead letters cannot be kept the message is not acknowledged: it becomes one when they can. Others go on.
void DeadLetterPlaceUnavailable(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}}, [](const Received& received) {
    return received.payload() == "bad" ? absl::InvalidArgumentError("bad") : absl::OkStatus();
  })});
  bench.Send(*client, bench.Topic(), "good before");
  ASSERT_TRUE(journal.Await(1));
  const std::function<void()> mend = bench.environment().break_dead_letters(client->broker(), bench.url());
  // The send may have to wait for the same thing: its outcome is looked at later.
  const Confirmation sent = client->producer().Send(bench.Topic(), std::string("bad"));
  const bool handled_meanwhile = WaitUntil([&] { return !journal.Of("bad").empty(); }, absl::Seconds(2));
  if (handled_meanwhile) {
    EXPECT_EQ(journal.Of("bad").size(), 1u);
    EXPECT_GE(client->in_flight(), 1u) << "not acknowledged before the dead letter is stored";
  }
  mend();
  EXPECT_TRUE(sent.Wait(Limit()).ok());
  const auto letters = bench.AwaitDeadLetters(*client, 1);
  bench.Send(*client, bench.Topic(), "good after");
  EXPECT_TRUE(WaitUntil([&] { return journal.Of("good after").size() == 1; }));
  EXPECT_TRUE(client->Stop().ok());
  EXPECT_EQ(bench.DeadLettersOf(*client).size(), 1u) << "and not twice";
}

}  // namespace

std::vector<Case> DeadLetterCases() {
  return {
      {"DeadLettersSayWhy", DeadLettersSayWhy, {}},
      {"DeadLettersAreFiltered", DeadLettersAreFiltered, {}},
      {"ReplayGoesToTheFailingHandlerOnly", ReplayGoesToTheFailingHandlerOnly, {}},
      {"AReplayMayDieAgain", AReplayMayDieAgain, {}},
      {"PurgeDeletesForGood", PurgeDeletesForGood, {}},
      {"ListingMovesNothing", ListingMovesNothing, {}},
      {"DeadLetterPlaceUnavailable", DeadLetterPlaceUnavailable, {Need::kBreakDeadLetters}},
  };
}

}  // namespace messaging::conformance
