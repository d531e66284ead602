// What a person on call asks: lag, topics, declarations, tail, check; and dead letters brought back from an export.
// None of it disturbs a group.
#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "messaging/broker/admin.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/names.h"
#include "tests/conformance/cases.h"

namespace messaging::conformance {
namespace {

// A topic's figures in a group, over all its partitions.
GroupLag LagOf(Client& client, const std::string& topic, const std::string& group) {
  GroupLag sum{.topic = topic, .group = group};
  const auto lags = client.broker().admin().Lag(topic, group);
  EXPECT_TRUE(lags.ok()) << lags.status();
  if (!lags.ok()) return sum;
  auto add = [](std::optional<int64_t>& to, const std::optional<int64_t>& more) {
    if (more) to = to.value_or(0) + *more;
  };
  for (const GroupLag& lag : *lags) {
    EXPECT_EQ(lag.topic, topic);
    EXPECT_EQ(lag.group, group);
    add(sum.waiting, lag.waiting);
    add(sum.in_flight, lag.in_flight);
    add(sum.retrying, lag.retrying);
    add(sum.dead, lag.dead);
    if (lag.next_retry && (!sum.next_retry || *lag.next_retry < *sum.next_retry)) sum.next_retry = lag.next_retry;
    if (lag.oldest && (!sum.oldest || *lag.oldest < *sum.oldest)) sum.oldest = lag.oldest;
    if (lag.members) sum.members = std::max(sum.members.value_or(0), *lag.members);
  }
  return sum;
}

// Where the broker cannot tell a figure, it is not compared.
bool Is(const std::optional<int64_t>& figure, int64_t expected) { return !figure || *figure == expected; }

std::string Show(const GroupLag& lag) {
  auto text = [](const auto& figure) { return figure ? absl::StrCat(*figure) : std::string("?"); };
  return absl::StrCat("waiting ", text(lag.waiting), ", in flight ", text(lag.in_flight), ", retrying ",
                      text(lag.retrying), ", dead ", text(lag.dead), ", members ", text(lag.members));
}

void LagCountsWhatIsWhere(Bench& bench) {
  Journal journal;
  Gate gate;
  auto client = bench.Consume(
      {Recording("h", journal,
                 {.topics = {bench.Topic()}, .max_retries = 1, .retry_delay = absl::Minutes(2), .order = Order::kNone},
                 [&](const Received& received) {
                   if (received.payload() == "held") gate.Pass();
                   if (received.payload() == "retried") return absl::UnavailableError("later");
                   if (received.payload() == "dead") return absl::InvalidArgumentError("never");
                   return absl::OkStatus();
                 })});
  Gate::Opener opener(gate);
  const absl::Time before = absl::Now();
  for (const char* payload : {"held", "retried", "dead", "good"}) bench.Send(*client, bench.Topic(), payload);
  ASSERT_TRUE(gate.AwaitWaiting(1));
  ASSERT_TRUE(journal.Await(4));
  GroupLag lag;
  EXPECT_TRUE(WaitUntil([&] {
    lag = LagOf(*client, bench.Topic(), bench.Group());
    return Is(lag.waiting, 0) && Is(lag.in_flight, 1) && Is(lag.retrying, 1) && Is(lag.dead, 1);
  })) << Show(lag);
  if (lag.next_retry) {
    EXPECT_GE(*lag.next_retry, before + absl::Minutes(2) - absl::Seconds(1));
    EXPECT_LE(*lag.next_retry, absl::Now() + absl::Minutes(2) + absl::Seconds(1));
  }
  EXPECT_TRUE(!lag.members || *lag.members >= 1) << Show(lag);
  gate.Open();
  ASSERT_TRUE(client->Stop().ok());
  // Nobody consumes: what comes now waits.
  auto sender = bench.NewClient();
  const absl::Time sent = absl::Now();
  bench.SendMany(*sender, bench.Topic(), 4);
  EXPECT_TRUE(WaitUntil([&] {
    lag = LagOf(*sender, bench.Topic(), bench.Group());
    return Is(lag.waiting, 4) && Is(lag.in_flight, 0) && Is(lag.retrying, 1) && Is(lag.dead, 1) &&
           (!lag.members || *lag.members == 0);
  })) << Show(lag);
  ASSERT_TRUE(lag.waiting.has_value()) << "the figure that everybody asks for";
  if (lag.oldest) {
    EXPECT_GE(*lag.oldest, sent - absl::Seconds(1));
    EXPECT_LE(*lag.oldest, absl::Now() + absl::Seconds(1));
  }
}

void TopicsAreListed(Bench& bench) {
  Journal journal;
  auto client = bench.Consume(
      {Recording("h", journal, {.topics = {bench.Topic("a")}, .max_retries = 0}, FailTimes(9)),
       Recording("g", journal, {.topics = {bench.Topic("b")}, .max_retries = 1, .retry_delay = absl::Minutes(1)},
                 FailTimes(9))});
  bench.SendMany(*client, bench.Topic("a"), 3);
  bench.Send(*client, bench.Topic("b"), "m");
  ASSERT_TRUE(journal.Await(4));
  bench.AwaitDeadLetters(*client, 3);
  const auto all = client->broker().admin().Topics("");
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_TRUE(
      std::is_sorted(all->begin(), all->end(), [](const TopicInfo& x, const TopicInfo& y) { return x.name < y.name; }));
  for (const TopicInfo& info : *all) EXPECT_FALSE(IsInternalPlace(info.name)) << info.name;
  for (const char* suffix : {"a", "b"}) {
    const std::string topic = bench.Topic(suffix);
    EXPECT_EQ(std::count_if(all->begin(), all->end(), [&](const TopicInfo& info) { return info.name == topic; }), 1);
    const auto one = client->broker().admin().Topics(topic);
    ASSERT_TRUE(one.ok()) << one.status();
    ASSERT_EQ(one->size(), 1u) << topic;
    EXPECT_EQ((*one)[0].name, topic);
    EXPECT_EQ((*one)[0].groups, (std::vector<std::string>{bench.Group()}));
    if (bench.capabilities().keeps_messages) {
      EXPECT_TRUE(Is((*one)[0].messages, suffix[0] == 'a' ? 3 : 1)) << *(*one)[0].messages;
    }
  }
  const auto none = client->broker().admin().Topics(bench.Topic("none"));
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->empty());
}

void ADeclaredGroupGetsWhatIsSentBeforeItConsumes(Bench& bench) {
  auto sender = bench.NewClient();
  const TopicDeclaration declaration{.topic = bench.Topic(), .groups = {bench.Group()}};
  for (int i = 0; i < 2; ++i) {
    const absl::Status declared = sender->broker().admin().Declare(declaration);
    ASSERT_TRUE(declared.ok()) << declared;
  }
  const auto topics = sender->broker().admin().Topics(bench.Topic());
  ASSERT_TRUE(topics.ok()) << topics.status();
  EXPECT_EQ(topics->size(), 1u);
  bench.SendMany(*sender, bench.Topic(), 3);
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})}, "g", {.start_at = StartAt::kNow});
  EXPECT_TRUE(journal.AwaitDistinct(3)) << "it began when it was declared, not now";
}

void TailShowsWhatWasSent(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})});
  bench.SendMany(*client, bench.Topic(), 7);
  absl::SleepFor(absl::Milliseconds(20));  // So that a time lies between them.
  const absl::Time since = absl::Now();
  absl::SleepFor(absl::Milliseconds(20));
  bench.Send(*client, bench.Topic(), "with all", {.key = "k", .headers = {{"a", "b"}}, .id = "id-1"});
  bench.SendMany(*client, bench.Topic(), 2, "n");
  Admin& admin = client->broker().admin();
  std::vector<std::string> shown;
  auto note = [&](const Record& record) {
    EXPECT_EQ(record.topic, bench.Topic());
    shown.emplace_back(record.payload);
    if (record.payload == "with all") {
      EXPECT_TRUE(record.has_key);
      EXPECT_EQ(record.key, "k");
      const Received received(const_cast<Record*>(&record), "", "", 1, 1, absl::InfiniteFuture());
      EXPECT_EQ(received.id(), "id-1");
      EXPECT_EQ(received.header("a"), "b");
    }
    return true;
  };
  auto go_on = [] { return false; };
  const std::vector<std::string> late = {"n0", "n1", "with all"};
  ASSERT_EQ(admin.Tail({.topic = bench.Topic(), .last = 3, .follow = false}, note, go_on), absl::OkStatus());
  std::sort(shown.begin(), shown.end());  // Partitions have no order among them.
  EXPECT_EQ(shown, late);
  shown.clear();
  ASSERT_EQ(admin.Tail({.topic = bench.Topic(), .since = since, .follow = false}, note, go_on), absl::OkStatus());
  std::sort(shown.begin(), shown.end());
  EXPECT_EQ(shown, late);
  shown.clear();
  ASSERT_EQ(admin.Tail({.topic = bench.Topic(), .last = 100, .follow = false}, note, go_on), absl::OkStatus());
  EXPECT_EQ(shown.size(), 10u);
  EXPECT_TRUE(journal.AwaitDistinct(10)) << "the group got all the same";
}

void TailFollows(Bench& bench) {
  auto client = bench.NewClient();
  ASSERT_TRUE(client->broker().admin().Declare({.topic = bench.Topic()}).ok());
  bench.Send(*client, bench.Topic(), "old");
  std::atomic<bool> ended{false};
  std::vector<std::string> shown;
  std::thread tail([&] {
    const absl::Status status = client->broker().admin().Tail(
        {.topic = bench.Topic()},
        [&](const Record& record) {
          shown.emplace_back(record.payload);
          return shown.size() < 2;
        },
        [] { return false; });
    EXPECT_TRUE(status.ok()) << status;
    ended = true;
  });
  // It says nothing when it has begun.
  EXPECT_TRUE(WaitUntil(
      [&] {
        if (!ended) bench.Send(*client, bench.Topic(), "new");
        return ended.load();
      },
      Limit(), absl::Milliseconds(20)));
  tail.join();
  EXPECT_EQ(shown, (std::vector<std::string>{"new", "new"}));
  const absl::Time before = absl::Now();
  ASSERT_TRUE(client->broker()
                  .admin()
                  .Tail(
                      {.topic = bench.Topic()}, [](const Record&) { return true; }, [] { return true; })
                  .ok());
  EXPECT_LE(absl::Now() - before, absl::Seconds(2)) << "it was told to stop";
}

void CheckFindsNothingWrong(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})});
  bench.Send(*client, bench.Topic(), "m");
  ASSERT_TRUE(journal.Await(1));
  const std::vector<TopicPlan> plans = {{.topic = bench.Topic(), .handlers = {"h"}, .retry_rungs = {absl::Seconds(1)}},
                                        {.topic = bench.Topic("not.there.yet"), .handlers = {"h"}}};
  const auto findings = client->broker().admin().Check(bench.Group(), plans);
  ASSERT_TRUE(findings.ok()) << findings.status();
  EXPECT_FALSE(findings->empty());
  for (const Finding& finding : *findings) {
    EXPECT_FALSE(finding.subject.empty());
    EXPECT_FALSE(finding.message.empty()) << finding.subject;
    EXPECT_NE(finding.level, Finding::Level::kError) << finding.subject << ": " << finding.message;
    EXPECT_EQ(finding.level == Finding::Level::kOk, finding.cure.empty()) << finding.subject << ": " << finding.cure;
  }
  const auto topics = client->broker().admin().Topics(bench.Topic("not.there.yet"));
  ASSERT_TRUE(topics.ok());
  EXPECT_TRUE(topics->empty()) << "looking made it";
}

void DeadLettersComeBackFromAnExport(Bench& bench) {
  Journal journal;
  std::atomic<bool> mended{false};
  auto client = bench.Consume(
      {Recording("h", journal, {.topics = {bench.Topic()}, .max_retries = 1, .retry_delay = absl::Milliseconds(10)},
                 [&](const Received&) { return mended ? absl::OkStatus() : absl::UnavailableError("broken"); })});
  bench.Send(*client, bench.Topic(), "m", {.key = "k", .headers = {{"a", "1"}, {"a", "2"}}, .id = "own"});
  const auto before = bench.AwaitDeadLetters(*client, 1);
  ASSERT_EQ(before.size(), 1u);
  DeadLetters& letters = client->broker().dead_letters();
  const auto purged = letters.Purge({.group = bench.Group()});
  ASSERT_TRUE(purged.ok() && *purged == 1) << purged.status();
  ASSERT_EQ(letters.Import(before[0]), absl::OkStatus());
  const auto after = bench.AwaitDeadLetters(*client, 1);
  ASSERT_EQ(after.size(), 1u);
  const absl::Duration coarse = absl::Milliseconds(2);  // Stored times may be rounded.
  EXPECT_EQ(after[0].message.topic, before[0].message.topic);
  EXPECT_EQ(after[0].message.payload, "m");
  EXPECT_EQ(after[0].message.key, "k");
  EXPECT_EQ(after[0].message.id, "own");
  EXPECT_EQ(after[0].message.headers, before[0].message.headers);
  EXPECT_EQ(after[0].group, before[0].group);
  EXPECT_EQ(after[0].failure.handler, "h");
  EXPECT_EQ(after[0].failure.attempts, 2);
  EXPECT_EQ(after[0].failure.status, before[0].failure.status);
  EXPECT_LE(absl::AbsDuration(after[0].dead_since - before[0].dead_since), coarse);
  EXPECT_LE(absl::AbsDuration(after[0].failure.first - before[0].failure.first), coarse);
  mended = true;
  const auto replayed = letters.Replay({.group = bench.Group()});
  ASSERT_TRUE(replayed.ok() && *replayed == 1) << replayed.status();
  ASSERT_TRUE(journal.Await(3));
  EXPECT_EQ(journal.all()[2].attempt, 1);
  EXPECT_EQ(journal.all()[2].headers, before[0].message.headers);
}

void ARemovedTopicIsGone(Bench& bench) {
  Journal journal;
  const HandlerOptions both = {.topics = {bench.Topic(), bench.Topic("other")}, .max_retries = 0};
  auto client = bench.Consume({Recording("h", journal, both, FailTimes(9))});
  bench.SendMany(*client, bench.Topic(), 3);
  bench.Send(*client, bench.Topic("other"), "m");
  ASSERT_TRUE(journal.Await(4));
  bench.AwaitDeadLetters(*client, 4);
  ASSERT_TRUE(client->Stop().ok());
  Admin& admin = client->broker().admin();
  const absl::Status removed = admin.Remove(bench.Topic());
  if (absl::IsUnimplemented(removed)) return;
  ASSERT_EQ(removed, absl::OkStatus());
  const auto none = admin.Topics(bench.Topic());
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->empty());
  EXPECT_EQ(bench.AwaitDeadLetters(*client, 1).size(), 1u) << "the other topic's";
  EXPECT_EQ(admin.Topics(bench.Topic("other"))->size(), 1u);
  EXPECT_EQ(admin.Remove(bench.Topic()), absl::OkStatus()) << "once more";
  // The same client, which knew it, makes it again.
  if (!bench.capabilities().accepts_unknown_topics) {
    ASSERT_EQ(admin.Declare({.topic = bench.Topic(), .groups = {bench.Group()}}), absl::OkStatus());
  }
  bench.Send(*client, bench.Topic(), "new");
  auto again = bench.Consume({Recording("h", journal, both)});
  ASSERT_TRUE(journal.Await(5));
  EXPECT_EQ(journal.all()[4].payload, "new");
  EXPECT_EQ(admin.Topics(bench.Topic())->size(), 1u);
}

}  // namespace

std::vector<Case> AdminCases() {
  return {
      {"LagCountsWhatIsWhere", LagCountsWhatIsWhere, {Need::kAdmin}},
      {"TopicsAreListed", TopicsAreListed, {Need::kAdmin}},
      {"ADeclaredGroupGetsWhatIsSentBeforeItConsumes", ADeclaredGroupGetsWhatIsSentBeforeItConsumes, {Need::kAdmin}},
      {"ARemovedTopicIsGone", ARemovedTopicIsGone, {Need::kAdmin}},
      {"TailShowsWhatWasSent", TailShowsWhatWasSent, {Need::kAdmin, Need::kKeepsMessages}},
      {"TailFollows", TailFollows, {Need::kAdmin}},
      {"CheckFindsNothingWrong", CheckFindsNothingWrong, {Need::kAdmin}},
      {"DeadLettersComeBackFromAnExport", DeadLettersComeBackFromAnExport, {Need::kAdmin}},
  };
}

}  // namespace messaging::conformance
