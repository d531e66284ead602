#include "messaging/dispatch/engine.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "messaging/dispatch/engine_fixture.h"

namespace messaging {
namespace {

class EngineTest : public EngineFixture {
 protected:
  void Offer(std::vector<std::string> keys) {
    std::vector<Delivery> batch;
    for (std::string& key : keys) batch.push_back(source_.Make(std::move(key)));
    engine_->Offer(0, std::move(batch), now_);
  }
  void Finish(const Engine::Work& work, const absl::Status& status) {
    EngineFixture::Finish(work, status, absl::Microseconds(1));
  }
  std::vector<Settlement> Settlements() {
    auto all = engine_->TakeSettlements();
    return all.empty() ? std::vector<Settlement>() : std::move(all[0].second);
  }
  // The driver does what it is told.
  void AnswerAll(std::vector<Settlement> settlements, absl::Status status = absl::OkStatus()) {
    for (Settlement& settlement : settlements) {
      settlement.status = status;
      if (status.ok() && settlement.verdict != Settlement::Verdict::kBegin) settlement.delivery.Take();
    }
    engine_->Settled(0, std::move(settlements), now_);
  }
  // A run of three without keys, as short calls before it have earned; nothing if it is none.
  std::optional<Engine::Work> TakeARunOfThree() {
    Make({{.order = Order::kNone}});
    for (int round = 0; round < 6; ++round) {
      Offer({"", "", "", ""});
      while (auto work = engine_->Take(now_)) Finish(*work, absl::OkStatus());
    }
    AnswerAll(Settlements());
    Offer({"", "", ""});
    auto work = engine_->Take(now_);
    const size_t tasks = work ? work->tasks.size() : 0;
    EXPECT_EQ(tasks, 3u);
    return tasks == 3 ? work : std::nullopt;
  }
};

TEST_F(EngineTest, OkIsAcknowledged) {
  Make({{}});
  Offer({"a"});
  auto work = engine_->Take(now_);
  ASSERT_TRUE(work);
  Finish(*work, absl::OkStatus());
  auto settlements = Settlements();
  ASSERT_EQ(settlements.size(), 1u);
  EXPECT_EQ(settlements[0].verdict, Settlement::Verdict::kAck);
  EXPECT_EQ(settlements[0].copies, nullptr);
  EXPECT_EQ(engine_->in_hand(), 1u) << "until the broker has answered";
  AnswerAll(std::move(settlements));
  EXPECT_EQ(engine_->in_hand(), 0u);
  EXPECT_EQ(engine_->bytes_in_hand(), 0u);
}

TEST_F(EngineTest, OneKeyAtATimeOthersMeanwhile) {
  Make({{}});
  Offer({"a", "a", "b"});
  auto first = engine_->Take(now_);
  auto second = engine_->Take(now_);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->tasks[0]->record->key, "a");
  EXPECT_EQ(second->tasks[0]->record->key, "b");
  EXPECT_FALSE(engine_->Take(now_)) << "the second of key a must wait for the first";
  Finish(*first, absl::OkStatus());
  auto third = engine_->Take(now_);
  ASSERT_TRUE(third);
  EXPECT_EQ(third->tasks[0]->record->position, 2);
}

// Loading is not for two threads at once, and theirs are called by several.
TEST_F(EngineTest, WhatHandlersShareIsLoadedBeforeTheyAreCalled) {
  for (const size_t handlers : {1u, 2u}) {
    Make(std::vector<HandlerOptions>(handlers));
    Delivery delivery = source_.Make("");
    Record& record = source_.last();
    record.load_metadata = [](Record& loaded) { loaded.id = "loaded"; };
    EngineFixture::Offer(std::move(delivery));
    EXPECT_EQ(record.id, handlers > 1 ? "loaded" : "");
  }
}

TEST_F(EngineTest, ConcurrencyIsALimitForEachHandler) {
  Make({{.order = Order::kNone, .concurrency = 2}});
  Offer({"", "", ""});
  auto a = engine_->Take(now_), b = engine_->Take(now_), c = engine_->Take(now_);
  EXPECT_TRUE(a && b);
  EXPECT_FALSE(c);
  Finish(*a, absl::OkStatus());
  EXPECT_TRUE(engine_->Take(now_));
}

TEST_F(EngineTest, AFailedAttemptBecomesARetryCopyForItsHandlerOnly) {
  Make({{.max_retries = 2, .retry_delay = absl::Seconds(5)}, {}});
  Offer({"a"});
  auto first = engine_->Take(now_), second = engine_->Take(now_);
  ASSERT_TRUE(first && second);
  Finish(*first, absl::UnavailableError("down"));
  EXPECT_TRUE(Settlements().empty()) << "the other handler has not ended";
  Finish(*second, absl::OkStatus());
  auto settlements = Settlements();
  ASSERT_EQ(settlements.size(), 1u);
  ASSERT_EQ(settlements[0].copies->size(), 1u);
  const Copy& copy = settlements[0].copies->front();
  EXPECT_EQ(copy.kind, Copy::Kind::kRetry);
  EXPECT_EQ(copy.delay, absl::Seconds(5));
  EXPECT_EQ(copy.failure.handler, "h0");
  EXPECT_EQ(copy.failure.attempts, 1);
  AnswerAll(std::move(settlements));
}

TEST_F(EngineTest, TheLastAttemptGoesToTheDeadLettersNotToARetry) {
  Make({{.max_retries = 2}});
  std::vector<Delivery> batch;
  batch.push_back(source_.Make("a"));
  source_.last().attempts = 2;
  source_.last().handler = "h0";
  engine_->Offer(0, std::move(batch), now_);
  auto work = engine_->Take(now_);
  ASSERT_TRUE(work);
  EXPECT_EQ(work->tasks[0]->attempt, 3);
  Finish(*work, absl::UnavailableError("down"));
  auto settlements = Settlements();
  EXPECT_EQ(settlements[0].copies->front().kind, Copy::Kind::kDeadLetter);
  EXPECT_EQ(settlements[0].copies->front().failure.attempts, 3);
  AnswerAll(std::move(settlements));
}

// Found by the simulation: given back after a drain, with the last attempt of one of two handlers recorded.
TEST_F(EngineTest, AttemptsThatAreUsedUpAreNotMadeAgainWhereAnotherHandlerShares) {
  Make({{.max_retries = 2, .order = Order::kPerKeyStrict}, {}});
  std::vector<Delivery> batch;
  batch.push_back(source_.Make("a"));
  source_.last().attempts = 3;
  source_.last().attempts_of = "h0";
  engine_->Offer(0, std::move(batch), now_);
  auto work = engine_->Take(now_);
  ASSERT_TRUE(work);
  EXPECT_EQ(work->handler, 1);
  EXPECT_FALSE(engine_->Take(now_));
  Finish(*work, absl::OkStatus());
  auto settlements = Settlements();
  ASSERT_EQ(settlements.size(), 1u);
  ASSERT_NE(settlements[0].copies, nullptr);
  ASSERT_EQ(settlements[0].copies->size(), 1u);
  EXPECT_EQ(settlements[0].copies->front().kind, Copy::Kind::kDeadLetter);
  EXPECT_EQ(settlements[0].copies->front().failure.handler, "h0");
  EXPECT_EQ(settlements[0].copies->front().failure.attempts, 3);
  AnswerAll(std::move(settlements));
}

TEST_F(EngineTest, ARecordForAnUnknownHandlerIsADeadLetter) {
  Make({{}});
  std::vector<Delivery> batch;
  batch.push_back(source_.Make("a"));
  source_.last().handler = "gone";
  engine_->Offer(0, std::move(batch), now_);
  EXPECT_FALSE(engine_->Take(now_));
  auto settlements = Settlements();
  ASSERT_EQ(settlements.size(), 1u);
  EXPECT_EQ(settlements[0].copies->front().kind, Copy::Kind::kDeadLetter);
  EXPECT_TRUE(absl::IsNotFound(settlements[0].copies->front().failure.status));
  AnswerAll(std::move(settlements));
}

TEST_F(EngineTest, AFormerNameIsTheSameHandler) {
  Make({{.formerly = {"old"}}});
  std::vector<Delivery> batch;
  batch.push_back(source_.Make("a"));
  source_.last().handler = "old";
  engine_->Offer(0, std::move(batch), now_);
  EXPECT_TRUE(engine_->Take(now_));
}

TEST_F(EngineTest, ASuspectRunsAloneAfterItsAttemptWasRecorded) {
  Make({{}});
  Offer({"a"});
  auto running = engine_->Take(now_);
  std::vector<Delivery> batch;
  batch.push_back(source_.Make("s"));
  source_.last().suspect = true;
  engine_->Offer(0, std::move(batch), now_);
  Offer({"b"});
  EXPECT_FALSE(engine_->Take(now_)) << "another call is running";
  EXPECT_TRUE(Settlements().empty());
  Finish(*running, absl::OkStatus());
  EXPECT_FALSE(engine_->Take(now_)) << "its attempt is not recorded";
  auto settlements = Settlements();
  ASSERT_EQ(settlements.size(), 2u);  // The acknowledgement of a, and the record.
  EXPECT_EQ(settlements[1].verdict, Settlement::Verdict::kBegin);
  EXPECT_EQ(settlements[1].copies->front().failure.attempts, 1);
  AnswerAll(std::move(settlements));
  auto suspect = engine_->Take(now_);
  ASSERT_TRUE(suspect);
  EXPECT_EQ(suspect->tasks[0]->record->key, "s");
  EXPECT_FALSE(engine_->Take(now_)) << "nothing begins beside a suspect";
  Finish(*suspect, absl::OkStatus());
  auto next = engine_->Take(now_);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->tasks[0]->record->key, "b");
}

TEST_F(EngineTest, ASuspectWhoseAttemptsAreUsedUpIsADeadLetterUncalled) {
  Make({{.max_retries = 1}});
  std::vector<Delivery> batch;
  batch.push_back(source_.Make("s"));
  source_.last().suspect = true;
  source_.last().attempts = 2;
  engine_->Offer(0, std::move(batch), now_);
  EXPECT_FALSE(engine_->Take(now_));
  auto settlements = Settlements();
  ASSERT_EQ(settlements.size(), 1u);
  EXPECT_EQ(settlements[0].copies->front().kind, Copy::Kind::kDeadLetter);
  AnswerAll(std::move(settlements));
}

// Found by the simulation: the record was freed under the other handler.
TEST_F(EngineTest, WhatIsLostWhileOneHandlerAsksForARecordStaysForTheOther) {
  Make({{.retry_delay = absl::Seconds(5), .order = Order::kPerKeyStrict}, {}});
  Offer({"a"});
  auto failing = engine_->Take(now_), reading = engine_->Take(now_);
  ASSERT_TRUE(failing && reading);
  Finish(*failing, absl::UnavailableError("down"));
  auto settlements = Settlements();
  ASSERT_EQ(settlements.size(), 1u);
  EXPECT_EQ(settlements[0].verdict, Settlement::Verdict::kBegin);
  AnswerAll(std::move(settlements), absl::CancelledError("another member has taken it over"));
  EXPECT_EQ(source_.dropped, 0) << "the other handler reads it";
  Finish(*reading, absl::OkStatus());
  EXPECT_EQ(source_.dropped, 1);
  EXPECT_TRUE(Settlements().empty());
  EXPECT_EQ(engine_->in_hand(), 0u);
}

// Found by the simulation: nobody asked for its record.
TEST_F(EngineTest, ASuspectTakesThePlaceOfARevokedOneOfItsKeyThatWaitedForAFreePlace) {
  Make({{.retry_delay = absl::ZeroDuration(), .order = Order::kPerKeyStrict, .concurrency = 1}});
  Offer({"a"});
  Finish(*engine_->Take(now_), absl::UnavailableError("down"));
  AnswerAll(Settlements());
  auto asked = Settlements();  // For the record of attempt 2.
  Offer({"b"});
  auto other = engine_->Take(now_);
  ASSERT_TRUE(other);
  AnswerAll(std::move(asked));
  engine_->Revoke(0, [](const Record& record) { return record.key == "a"; });
  std::vector<Delivery> batch;
  batch.push_back(source_.Make("a"));
  source_.last().suspect = true;
  engine_->Offer(0, std::move(batch), now_);
  Finish(*other, absl::OkStatus());
  EXPECT_FALSE(engine_->Take(now_));
  AnswerAll(Settlements());
  EXPECT_TRUE(engine_->Take(now_));
}

// Found by the simulation: its key was busy for ever.
TEST_F(EngineTest, ASuspectOfAHeldKeyThatIsLostWhileItsRecordIsAskedForLeavesTheKey) {
  Make({{.retry_delay = absl::ZeroDuration(), .order = Order::kPerKeyStrict}});
  const auto offer_suspect = [this] {
    std::vector<Delivery> batch;
    batch.push_back(source_.Make("a"));
    source_.last().suspect = true;
    engine_->Offer(0, std::move(batch), now_);
  };
  const auto revoke_all = [this] { engine_->Revoke(0, [](const Record&) { return true; }); };
  offer_suspect();
  EXPECT_FALSE(engine_->Take(now_));
  AnswerAll(Settlements());
  Finish(*engine_->Take(now_), absl::UnavailableError("down"));
  AnswerAll(Settlements());  // The failure's record: it waits among the suspects, its key held.
  revoke_all();
  offer_suspect();
  EXPECT_FALSE(engine_->Take(now_));
  auto asked = Settlements();
  ASSERT_EQ(asked.size(), 1u);
  revoke_all();
  AnswerAll(std::move(asked), absl::CancelledError("lost"));
  offer_suspect();
  EXPECT_FALSE(engine_->Take(now_));
  AnswerAll(Settlements());
  EXPECT_TRUE(engine_->Take(now_));
}

TEST_F(EngineTest, StrictOrderHoldsTheFailingKeyAndNoOther) {
  Make({{.retry_delay = absl::Seconds(5), .order = Order::kPerKeyStrict}});
  Offer({"a", "a", "b"});
  auto failing = engine_->Take(now_);
  Finish(*failing, absl::UnavailableError("down"));
  auto other = engine_->Take(now_);
  ASSERT_TRUE(other);
  EXPECT_EQ(other->tasks[0]->record->key, "b");
  Finish(*other, absl::OkStatus());
  AnswerAll(Settlements());  // The failure's record, and b.
  EXPECT_FALSE(engine_->Take(now_));
  EXPECT_EQ(engine_->NextEvent(), now_ + absl::Seconds(5));
  now_ += absl::Seconds(5);
  EXPECT_FALSE(engine_->Take(now_));  // It asks for the record of attempt 2.
  AnswerAll(Settlements());
  auto again = engine_->Take(now_);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->tasks[0]->record->position, 1);
  EXPECT_EQ(again->tasks[0]->attempt, 2);
  Finish(*again, absl::OkStatus());
  auto next = engine_->Take(now_);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->tasks[0]->record->position, 2);
}

TEST_F(EngineTest, ARetryThatIsTakenOverWaitsForWhatRunsOfItsKey) {
  Make({{.order = Order::kPerKeyStrict}});
  Offer({"k"});
  auto running = engine_->Take(now_);
  ASSERT_TRUE(running);
  Delivery retry = source_.Make("k");
  source_.last().attempts = 1;
  source_.last().not_before = now_ + absl::Seconds(1);
  EngineFixture::Offer(std::move(retry));
  now_ += absl::Seconds(1);
  EXPECT_FALSE(engine_->Take(now_));
  EXPECT_TRUE(Settlements().empty()) << "its attempt is not recorded before it may begin";
  Finish(*running, absl::OkStatus());
  EXPECT_FALSE(engine_->Take(now_));
  AnswerAll(Settlements());
  auto next = engine_->Take(now_);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->tasks[0]->attempt, 2);
}

TEST_F(EngineTest, ABatchGoesWhenItIsFullOrItsFirstHasWaited) {
  Make({{.batch = {.max = 2, .wait = absl::Milliseconds(20)}}}, {}, /*batch=*/true);
  Offer({"", "", ""});
  auto full = engine_->Take(now_);
  ASSERT_TRUE(full);
  EXPECT_EQ(full->tasks.size(), 2u);
  EXPECT_FALSE(engine_->Take(now_));
  EXPECT_EQ(engine_->NextEvent(), now_ + absl::Milliseconds(20));
  now_ += absl::Milliseconds(20);
  auto rest = engine_->Take(now_);
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest->tasks.size(), 1u);
}

TEST_F(EngineTest, NoRoomPastEitherLimit) {
  Make({{}}, {.max_messages = 3, .max_bytes = 1'000'000});
  Offer({"a", "b"});
  EXPECT_EQ(engine_->room(0).messages, 1u);
  Offer({"c"});
  EXPECT_EQ(engine_->room(0).messages, 0u);
  Make({{}}, {.max_messages = 100, .max_bytes = 150});
  Offer({"a"});
  EXPECT_EQ(engine_->room(0).bytes, 50u);
  Offer({"b"});
  EXPECT_EQ(engine_->room(0).messages, 0u);
}

TEST_F(EngineTest, ARefusedVerdictIsGivenAgain) {
  Make({{.max_retries = 0}});
  Offer({"a"});
  Finish(*engine_->Take(now_), absl::UnavailableError("down"));
  AnswerAll(Settlements(), absl::UnavailableError("no place for dead letters"));
  EXPECT_EQ(engine_->in_hand(), 1u);
  engine_->Tick(now_);
  EXPECT_TRUE(Settlements().empty()) << "not at once";
  now_ = engine_->NextEvent();
  engine_->Tick(now_);
  auto again = Settlements();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].copies->front().kind, Copy::Kind::kDeadLetter);
  AnswerAll(std::move(again));
  EXPECT_EQ(engine_->in_hand(), 0u);
}

TEST_F(EngineTest, DrainReleasesWhatHasNotBegun) {
  Make({{}});
  Offer({"a", "a"});
  auto running = engine_->Take(now_);
  engine_->Drain(now_);
  auto released = Settlements();
  ASSERT_EQ(released.size(), 1u);
  EXPECT_EQ(released[0].verdict, Settlement::Verdict::kRelease);
  EXPECT_EQ(engine_->room(0).messages, 0u);
  AnswerAll(std::move(released));
  Finish(*running, absl::OkStatus());
  AnswerAll(Settlements());
  EXPECT_EQ(engine_->in_hand(), 0u);
}

TEST_F(EngineTest, CancelledWhileDrainingIsARelease) {
  Make({{}});
  Offer({"a"});
  auto running = engine_->Take(now_);
  engine_->Drain(now_);
  Finish(*running, absl::CancelledError("draining"));
  auto settlements = Settlements();
  ASSERT_EQ(settlements.size(), 1u);
  EXPECT_EQ(settlements[0].verdict, Settlement::Verdict::kRelease);
  AnswerAll(std::move(settlements));
}

TEST_F(EngineTest, WhatIsAbandonedIsDroppedAndNotSettled) {
  Make({{}});
  Offer({"a", "a"});
  auto running = engine_->Take(now_);
  EXPECT_EQ(engine_->RunningHandlers(), std::vector<std::string>{"h0"});
  engine_->Abandon();
  EXPECT_EQ(source_.dropped, 1);
  Finish(*running, absl::OkStatus());
  EXPECT_EQ(source_.dropped, 2);
  EXPECT_TRUE(Settlements().empty());
  EXPECT_EQ(engine_->in_hand(), 0u);
}

TEST_F(EngineTest, WithdrawnRecordsAreReleasedUnlessTheyRun) {
  Make({{}});
  Offer({"a", "a", "b"});
  auto running = engine_->Take(now_);
  engine_->Withdraw(
      0, [](const Record& record) { return record.key == "a"; }, now_);
  std::vector<Settlement> released = Settlements();
  ASSERT_EQ(released.size(), 1u);
  EXPECT_EQ(released[0].verdict, Settlement::Verdict::kRelease);
  AnswerAll(std::move(released));
  Finish(*running, absl::OkStatus());
  std::vector<Settlement> done = Settlements();
  ASSERT_EQ(done.size(), 1u) << "what ran is settled as ever";
  EXPECT_EQ(done[0].verdict, Settlement::Verdict::kAck);
  AnswerAll(std::move(done));
  auto other = engine_->Take(now_);
  ASSERT_TRUE(other);
  EXPECT_EQ(other->tasks[0]->record->key, "b");
}

TEST_F(EngineTest, RevokedRecordsAreNotSettled) {
  Make({{}});
  Offer({"a", "a", "b"});
  auto running = engine_->Take(now_);
  engine_->Revoke(0, [](const Record& record) { return record.key == "a"; });
  EXPECT_EQ(source_.dropped, 1);
  Finish(*running, absl::OkStatus());
  EXPECT_EQ(source_.dropped, 2);
  EXPECT_TRUE(Settlements().empty());
  auto other = engine_->Take(now_);
  ASSERT_TRUE(other);
  EXPECT_EQ(other->tasks[0]->record->key, "b");
}

TEST_F(EngineTest, QuickHandlersGetMoreAtOnce) {
  Make({{}});
  size_t most = 0;
  for (int round = 0; round < 12; ++round) {
    Offer(std::vector<std::string>(64, ""));
    while (auto work = engine_->Take(now_)) {
      most = std::max(most, work->tasks.size());
      Finish(*work, absl::OkStatus());
    }
    AnswerAll(Settlements());
  }
  EXPECT_GE(most, 32u);
  Offer(std::vector<std::string>(64, ""));
  auto work = engine_->Take(now_);
  std::vector<Engine::Outcome> outcomes(work->tasks.size());
  engine_->Finish(*work, outcomes, absl::Seconds(1), now_);
  Offer(std::vector<std::string>(64, ""));
  EXPECT_EQ(engine_->Take(now_)->tasks.size(), 1u) << "a slow one, one at a time";
}

// Several keys that share a lane: found by asking which of them must wait.
std::vector<std::string> KeysOfOneLane(size_t count) {
  std::vector<std::string> keys;
  for (int i = 0; keys.size() < count; ++i) {
    const std::string key = "key" + std::to_string(i);
    const size_t lane = std::hash<std::string_view>()(key) % 64;
    if (keys.empty() || lane == std::hash<std::string_view>()(keys[0]) % 64) keys.push_back(key);
  }
  return keys;
}

TEST_F(EngineTest, ALongCallKeepsOnlyItsOwnKeyWaiting) {
  Make({{}});
  const std::vector<std::string> keys = KeysOfOneLane(2);
  Offer({keys[0], keys[1], keys[0], "other"});
  auto work = engine_->Take(now_);
  ASSERT_TRUE(work);
  EXPECT_EQ(work->tasks[0]->record->key, keys[0]);
  std::vector<Engine::Outcome> outcomes(work->tasks.size());
  engine_->Unblock(*work, outcomes, 1, now_);
  std::vector<std::string> others;
  std::vector<Engine::Work> taken;
  while (auto next = engine_->Take(now_)) {
    for (auto* task : next->tasks) others.emplace_back(task->record->key);
    taken.push_back(*std::move(next));
  }
  std::sort(others.begin(), others.end());
  std::vector<std::string> expected = {keys[1], "other"};
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(others, expected) << "its own key waits";
  for (const Engine::Work& each : taken) Finish(each, absl::OkStatus());
  EXPECT_FALSE(engine_->Take(now_));
  engine_->Finish(*work, outcomes, absl::Seconds(1), now_);
  auto last = engine_->Take(now_);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->tasks[0]->record->position, 3);
  Finish(*last, absl::OkStatus());
  AnswerAll(Settlements());
  EXPECT_EQ(engine_->in_hand(), 0u);
}

TEST_F(EngineTest, WhatAWorkerWasToCallAfterALongCallGoesToOthers) {
  Make({{}});
  for (int round = 0; round < 12; ++round) {  // It learns that the handler is quick: many tasks a Work.
    Offer({"a", "b", "c", "d", "e", "f", "g", "h"});
    while (auto work = engine_->Take(now_)) Finish(*work, absl::OkStatus());
  }
  AnswerAll(Settlements());
  Offer({"a", "b", "b", "c", "d"});
  auto work = engine_->Take(now_);
  ASSERT_TRUE(work);
  ASSERT_EQ(work->tasks.size(), 5u);
  std::vector<Engine::Outcome> outcomes(5);
  const std::string running(work->tasks[1]->record->key);
  engine_->Unblock(*work, outcomes, 2, now_);
  EXPECT_EQ(Settlements().size(), 1u) << "the one that has ended";
  std::vector<int64_t> others;
  std::vector<Engine::Work> taken;
  while (auto next = engine_->Take(now_)) {
    for (auto* task : next->tasks) {
      EXPECT_NE(task->record->key, running);
      others.push_back(task->record->position);
    }
    taken.push_back(*std::move(next));
  }
  EXPECT_EQ(others.size(), running == "b" ? 2u : 3u);
  EXPECT_TRUE(std::is_sorted(others.begin(), others.end()));
  engine_->Finish(*work, outcomes, absl::Seconds(1), now_);
  for (const Engine::Work& each : taken) Finish(each, absl::OkStatus());
  while (auto rest = engine_->Take(now_)) Finish(*rest, absl::OkStatus());
  AnswerAll(Settlements());
  EXPECT_EQ(engine_->in_hand(), 1u) << "whose answer this test has dropped";
}

TEST_F(EngineTest, WhatALongCallKeptFromBeginningGoesOnWithoutKeys) {
  auto work = TakeARunOfThree();
  ASSERT_TRUE(work);
  std::vector<Engine::Outcome> outcomes(3);
  engine_->Unblock(*work, outcomes, 1, now_);
  size_t others = 0;
  while (auto next = engine_->Take(now_)) {
    others += next->tasks.size();
    Finish(*next, absl::OkStatus());
  }
  EXPECT_EQ(others, 2u) << "nothing else has come that would wake them";
  engine_->Finish(*work, outcomes, absl::Seconds(1), now_);
  AnswerAll(Settlements());
  EXPECT_EQ(engine_->in_hand(), 0u);
}

TEST_F(EngineTest, ADrainReleasesWhatALongCallKeptFromBeginning) {
  auto work = TakeARunOfThree();
  ASSERT_TRUE(work);
  engine_->Drain(now_);
  std::vector<Engine::Outcome> outcomes(3);
  engine_->Unblock(*work, outcomes, 1, now_);
  auto settlements = Settlements();
  ASSERT_EQ(settlements.size(), 2u);
  for (const Settlement& settlement : settlements) EXPECT_EQ(settlement.verdict, Settlement::Verdict::kRelease);
  engine_->Finish(*work, outcomes, absl::Seconds(1), now_);
  AnswerAll(std::move(settlements));
  AnswerAll(Settlements());
  EXPECT_EQ(engine_->in_hand(), 0u);
}

}  // namespace
}  // namespace messaging
