// Groups, their members, and order per key.
#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/conformance/cases.h"

namespace messaging::conformance {
namespace {

// Every group gets everything, also when their members are handlers of one client.
void GroupsOfOneClient(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({Recording("own", journal, {.topics = {bench.Topic()}}),
                               Recording("else", journal, {.topics = {bench.Topic()}, .group = bench.Group("other")})});
  bench.SendMany(*client, bench.Topic(), 100);
  ASSERT_TRUE(journal.Await(200));
  EXPECT_EQ(journal.distinct("own"), 100u);
  EXPECT_EQ(journal.distinct("else"), 100u);
  for (const Seen& seen : journal.all()) EXPECT_EQ(seen.group, bench.Group(seen.handler == "own" ? "g" : "other"));
}

// A group that exists gets what is sent while none of its members runs.
void AGroupKeepsItsPlace(Bench& bench) {
  Journal journal;
  auto consume = [&] {
    return bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})}, "g", {.start_at = StartAt::kNow});
  };
  auto sender = bench.NewClient("sender");
  consume().reset();
  bench.SendMany(*sender, bench.Topic(), 50, "while away ");
  auto client = consume();
  ASSERT_TRUE(journal.Await(50));
  EXPECT_EQ(journal.distinct(), 50u);
}

// While one member is busy, others get the work.
void MembersShare(Bench& bench) {
  Journal first, second;
  Gate gate;
  auto busy = bench.Consume({Recording("h", first, {.topics = {bench.Topic()}},
                                       [&](const Received&) {
                                         gate.Pass();
                                         return absl::OkStatus();
                                       })},
                            "g", {.concurrency = 1, .max_messages = 1});
  Gate::Opener opener(gate);
  bench.Send(*busy, bench.Topic(), "keeps the first one busy");
  ASSERT_TRUE(gate.AwaitWaiting(1));
  auto idle = bench.Consume({Recording("h", second, {.topics = {bench.Topic()}})});
  bench.SendMany(*busy, bench.Topic(), 100);
  EXPECT_TRUE(second.Await(100));
  EXPECT_EQ(first.count(), 1u);
}

// In one process, over several clients: of a key one at a time, in order, none left out.
void OrderPerKeyOverMembers(Bench& bench) {
  const int n = bench.environment().messages;
  Journal journal;
  absl::Mutex mutex;
  std::map<std::string, int> in_hand;
  std::atomic<int> overlaps{0};
  auto handler = [&] {
    return Recording("h", journal, {.topics = {bench.Topic()}}, [&](const Received& received) {
      const std::string key(*received.key());
      {
        absl::MutexLock lock(&mutex);
        if (++in_hand[key] > 1) ++overlaps;
      }
      std::this_thread::yield();
      absl::MutexLock lock(&mutex);
      --in_hand[key];
      return absl::OkStatus();
    });
  };
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(bench.Consume({handler()}));
  auto sender = bench.NewClient();
  bench.SendMany(*sender, bench.Topic(), n, "", [](int i) { return absl::StrCat("key", i % 13); });
  ASSERT_TRUE(journal.Await(n));
  EXPECT_EQ(overlaps, 0);
  std::map<std::string, int> last;
  for (const Seen& seen : journal.all()) {
    int number = -1;
    ASSERT_TRUE(absl::SimpleAtoi(seen.payload, &number));
    auto [at, fresh] = last.try_emplace(*seen.key, number);
    EXPECT_TRUE(fresh || number > at->second) << *seen.key << ": " << number << " after " << at->second;
    at->second = number;
  }
}

// One slow key holds up no other.
void ASlowKeyHoldsUpNoOther(Bench& bench) {
  Journal journal;
  Gate gate;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}}, [&](const Received& received) {
    if (received.key() == "slow") gate.Pass();
    return absl::OkStatus();
  })});
  Gate::Opener opener(gate);
  for (int i = 0; i < 10; ++i) bench.Send(*client, bench.Topic(), absl::StrCat("slow", i), {.key = "slow"});
  bench.SendMany(*client, bench.Topic(), 200, "fast", [](int i) { return absl::StrCat("fast", i % 5); });
  ASSERT_TRUE(gate.AwaitWaiting(1));
  ASSERT_TRUE(journal.Await(201));
  gate.Open();
  EXPECT_TRUE(journal.Await(210));
}

// Order::kNone and messages without a key: at once.
void WithoutOrderAllAtOnce(Bench& bench) {
  Journal journal;
  Gate gate;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}, .order = Order::kNone},
                                         [&](const Received&) {
                                           gate.Pass();
                                           return absl::OkStatus();
                                         })},
                              "g", {.concurrency = 4});
  Gate::Opener opener(gate);
  bench.SendMany(*client, bench.Topic(), 4, "m", [](int) { return "one key"; });
  EXPECT_TRUE(gate.AwaitWaiting(4));
}

// Of a handler with a concurrency of its own, never more at once.
void ConcurrencyIsKept(Bench& bench) {
  Journal journal;
  std::atomic<int> now{0}, most{0};
  auto client =
      bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}, .concurrency = 2}, [&](const Received&) {
        const int at_once = ++now;
        int seen = most;
        while (at_once > seen && !most.compare_exchange_weak(seen, at_once)) {
        }
        std::this_thread::yield();
        --now;
        return absl::OkStatus();
      })});
  bench.SendMany(*client, bench.Topic(), 500);
  ASSERT_TRUE(journal.Await(500));
  EXPECT_LE(most, 2);
}

// More than max_messages is never in hand, and all come all the same.
void RoomIsKept(Bench& bench) {
  Journal journal;
  std::atomic<size_t> most{0};
  Client* seen_by_handler = nullptr;
  auto client = bench.NewClient();
  seen_by_handler = client.get();
  client->AddHandler(Recording("h", journal, {.topics = {bench.Topic()}}, [&](const Received&) {
    const size_t now = seen_by_handler->in_flight();
    size_t seen = most;
    while (now > seen && !most.compare_exchange_weak(seen, now)) {
    }
    return absl::OkStatus();
  }));
  bench.SendMany(*client, bench.Topic(), 10, "early");
  ASSERT_TRUE(client->Start({.max_messages = 10}).ok());
  bench.SendMany(*client, bench.Topic(), 500);
  ASSERT_TRUE(journal.AwaitDistinct(bench.capabilities().new_group_sees_old ? 510 : 500));
  EXPECT_LE(most, 10u);
  EXPECT_GE(most, 1u);
}

}  // namespace

std::vector<Case> GroupCases() {
  return {
      {"GroupsOfOneClient", GroupsOfOneClient, {}},
      {"AGroupKeepsItsPlace", AGroupKeepsItsPlace, {}},
      {"MembersShare", MembersShare, {Need::kSharedMessages}},
      {"OrderPerKeyOverMembers", OrderPerKeyOverMembers, {Need::kGroupOrder}},
      {"ASlowKeyHoldsUpNoOther", ASlowKeyHoldsUpNoOther, {}},
      {"WithoutOrderAllAtOnce", WithoutOrderAllAtOnce, {}},
      {"ConcurrencyIsKept", ConcurrencyIsKept, {}},
      {"RoomIsKept", RoomIsKept, {}},
  };
}

}  // namespace messaging::conformance
