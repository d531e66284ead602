// Circuit breakers as the engine keeps them: no attempt is burned, one probe at a time, keys stay in order.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/dispatch/engine.h"
#include "messaging/dispatch/engine_gate_fixture.h"

namespace messaging {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

HandlerOptions WithBreaker(HandlerOptions options = {}) {
  options.breaker = {.failures = 2, .probe_after = absl::Seconds(10)};
  return options;
}

class EngineBreakerTest : public GateFixture {
 protected:
  void Fail(const std::string& payload, const std::string& key = "", const std::string& topic = "t") {
    Offer(payload, key, topic);
    EXPECT_THAT(RunAll(absl::UnavailableError("down")), ElementsAre(payload));
  }
  void Lose(const std::string& payload) {
    engine_->Revoke(0, [&](const Record& record) { return record.payload == payload; });
  }
};

TEST_F(EngineBreakerTest, ABreakerPausesAndBurnsNoAttempt) {
  Make({WithBreaker({.max_retries = 1})});
  for (const char* payload : {"1", "2", "3"}) Offer(payload);
  EXPECT_THAT(RunAll(absl::UnavailableError("down")), ElementsAre("1", "2"));
  ASSERT_EQ(copies_.size(), 1u) << "the second opened it, and does not count";
  EXPECT_EQ(copies_[0].kind, Copy::Kind::kRetry);
  EXPECT_EQ(engine_->Progress(now_)[0].gate, Gate::kTripped);
  EXPECT_THAT(Closed(), ElementsAre("t"));
  EXPECT_EQ(engine_->NextEvent(), now_ + absl::Seconds(10));
  for (int i = 0; i < 6; ++i) {  // The same two in turn, however long it takes.
    now_ += absl::Seconds(10);
    EXPECT_THAT(RunAll(absl::UnavailableError("down")), ElementsAre(i % 2 == 0 ? "3" : "2"));
  }
  EXPECT_EQ(copies_.size(), 1u);
  now_ += absl::Seconds(10);
  EXPECT_THAT(RunAll(), ElementsAre("3", "2"));
  EXPECT_EQ(engine_->Progress(now_)[0].gate, Gate::kOpen);
  EXPECT_EQ(copies_.size(), 1u);
}

TEST_F(EngineBreakerTest, WhatRanWhenTheBreakerOpenedDoesNotCountEither) {
  Make({WithBreaker({.max_retries = 0})});
  for (const char* payload : {"1", "2", "3"}) Offer(payload);
  std::vector<Engine::Work> works;
  while (std::optional<Engine::Work> work = engine_->Take(now_)) works.push_back(*std::move(work));
  ASSERT_EQ(works.size(), 3u);
  for (const Engine::Work& work : works) Finish(work, absl::UnavailableError("down"));
  EXPECT_EQ(copies_.size(), 1u);
  EXPECT_EQ(engine_->in_hand(), 2u);
}

TEST_F(EngineBreakerTest, AProbeIsAloneAndTheNextOneReadWhenNothingIsInHand) {
  Make({WithBreaker({.max_retries = 0, .order = Order::kNone})});
  Offer("1");
  Offer("2");
  Offer("bad");
  RunAll(absl::UnavailableError("down"));
  now_ += absl::Seconds(10);
  std::optional<Engine::Work> probe = engine_->Take(now_);
  ASSERT_TRUE(probe);
  EXPECT_FALSE(engine_->Take(now_));
  Offer("4");
  EXPECT_FALSE(engine_->Take(now_));
  EXPECT_THAT(Closed(), ElementsAre("t"));
  Finish(*probe, absl::InvalidArgumentError("says nothing about the handler"));
  EXPECT_EQ(engine_->Progress(now_)[0].gate, Gate::kProbing);
  probe = engine_->Take(now_);
  ASSERT_TRUE(probe) << "the next one";
  Finish(*probe, absl::InvalidArgumentError("nor does this"));
  probe = engine_->Take(now_);
  ASSERT_TRUE(probe);
  Finish(*probe, absl::InvalidArgumentError("nor does this"));
  (void)engine_->Take(now_);
  EXPECT_EQ(engine_->in_hand(), 0u);
  EXPECT_THAT(Closed(), IsEmpty()) << "there is nothing to try in hand";
  Offer("5");
  EXPECT_THAT(RunAll(), ElementsAre("5"));
  EXPECT_EQ(engine_->Progress(now_)[0].gate, Gate::kOpen);
}

TEST_F(EngineBreakerTest, AProbeThatIsRevokedIsFollowedByAnother) {
  Make({WithBreaker({.max_retries = 0})});
  for (const char* payload : {"1", "2", "3"}) Offer(payload);
  RunAll(absl::UnavailableError("down"));
  now_ += absl::Seconds(10);
  engine_->Tick(now_);  // One waits in its lane as the probe.
  Lose("3");
  EXPECT_THAT(RunAll(), ElementsAre("2"));
  EXPECT_EQ(engine_->Progress(now_)[0].gate, Gate::kOpen);
}

TEST_F(EngineBreakerTest, WhenAllThatCouldBeTriedIsRevokedTheNextIsRead) {
  Make({WithBreaker({.max_retries = 5, .retry_delay = absl::Minutes(1), .order = Order::kPerKeyStrict})});
  Fail("held", "k");
  Fail("opens", "k2");
  Lose("opens");
  now_ += absl::Seconds(10);
  EXPECT_THAT(RunAll(), IsEmpty()) << "the one that is held is not due";
  engine_->TakeRoomsChanged();
  EXPECT_THAT(Closed(), ElementsAre("t"));
  engine_->Revoke(0, [](const Record&) { return true; });
  engine_->Tick(now_);
  EXPECT_TRUE(engine_->TakeRoomsChanged());
  EXPECT_THAT(Closed(), IsEmpty());
}

class HeldProbeTest : public EngineBreakerTest {
 protected:
  // The breaker is half-open, its probe the first of a held key, whose record is asked for.
  void SetUp() override {
    Make({WithBreaker({.max_retries = 5, .retry_delay = absl::Seconds(1), .order = Order::kPerKeyStrict})});
    Fail("held", "k");
    Fail("opens", "k2");
    Lose("opens");
    now_ += absl::Seconds(10);
    EXPECT_FALSE(engine_->Take(now_));
  }
  void ExpectTheNextIsRead() {
    (void)engine_->Take(now_);
    EXPECT_TRUE(engine_->TakeRoomsChanged());
    EXPECT_THAT(Closed(), IsEmpty());
    Offer("next", "k");
    EXPECT_THAT(RunAll(), ElementsAre("next"));
  }
};

TEST_F(HeldProbeTest, WithdrawnWhileItsRecordIsAskedFor) {
  engine_->Withdraw(
      0, [](const Record&) { return true; }, now_);
  for (int i = 0; i < 3; ++i) Answer();  // Recorded; what counts is recorded again; released.
  EXPECT_EQ(engine_->in_hand(), 0u);
  ExpectTheNextIsRead();
}

TEST_F(HeldProbeTest, PausedWhileItsRecordIsAskedFor) {
  engine_->PauseHandler(0, true, now_);
  EXPECT_THAT(RunAll(), IsEmpty());
  engine_->PauseHandler(0, false, now_);
  EXPECT_THAT(RunAll(), ElementsAre("held"));
  EXPECT_EQ(engine_->in_hand(), 0u);
}

TEST_F(HeldProbeTest, RevokedWhenItIsReady) {
  Answer();
  engine_->Revoke(0, [](const Record&) { return true; });
  ExpectTheNextIsRead();
}

TEST_F(EngineBreakerTest, AProbeThatHasEndedButForItsSendsNeedsNoLane) {
  Make({WithBreaker({.max_retries = 5})});
  Fail("fails");
  Fail("opens");
  Lose("opens");
  Offer("probe", "k");
  Offer("next", "k");
  now_ += absl::Seconds(10);
  std::optional<Engine::Work> work = engine_->Take(now_);
  ASSERT_TRUE(work);
  Engine::Task* const probe = work->tasks[0];
  std::vector<Engine::Outcome> outcomes(1);
  engine_->Unblock(*work, outcomes, 1, now_);  // To a lane of its own, which ends with the call.
  outcomes[0] = {.deferred = true, .keeps_lane = false};
  engine_->Finish(*work, outcomes, absl::Seconds(1), now_);
  engine_->PauseHandler(0, true, now_);
  engine_->PauseHandler(0, false, now_);
  engine_->Complete(probe, {.keeps_lane = false}, now_);
  Answer();
  EXPECT_THAT(RunAll(), ElementsAre("next"));
  EXPECT_EQ(engine_->in_hand(), 0u);
}

TEST_F(EngineBreakerTest, AProbeThatFailedBeforeItsWorkerCameToSaySoIsTriedAgain) {
  Make({WithBreaker({.max_retries = 5})});
  Fail("fails");
  Fail("opens");
  Lose("opens");
  Offer("probe", "k");
  now_ += absl::Seconds(10);
  std::optional<Engine::Work> work = engine_->Take(now_);
  ASSERT_TRUE(work);
  engine_->Complete(work->tasks[0], {.status = absl::UnavailableError("down"), .deferred = true}, now_);
  std::vector<Engine::Outcome> outcomes(1);
  outcomes[0].deferred = true;
  engine_->Finish(*work, outcomes, absl::Microseconds(1), now_);
  now_ += absl::Seconds(10);
  engine_->Tick(now_);
  engine_->UnblockDeferred(now_, now_);
  EXPECT_THAT(RunAll(), ElementsAre("probe"));
}

TEST_F(EngineBreakerTest, AKeyWhoseSuspectIsRevokedWhileItWaitsToBeAloneIsFree) {
  Make({WithBreaker({.topics = {"a"}, .retry_delay = absl::Seconds(1), .order = Order::kPerKeyStrict}),
        {.topics = {"b"}}});
  OfferSuspect("suspect", "k", "a");
  EXPECT_THAT(RunAll(absl::UnavailableError("down")), ElementsAre("suspect"));
  Fail("opens", "k2", "a");
  Lose("opens");
  Offer("next", "k", "a");
  Offer("other", "", "b");
  std::optional<Engine::Work> other = engine_->Take(now_);
  ASSERT_TRUE(other);
  now_ += absl::Seconds(10);
  EXPECT_FALSE(engine_->Take(now_)) << "the suspect is the probe, and would not be alone";
  Lose("suspect");
  Finish(*other);
  EXPECT_THAT(RunAll(), ElementsAre("next"));
}

TEST_F(EngineBreakerTest, AProbeThatWaitsBehindALongCallOfItsKeyKeepsItsPlace) {
  Make({WithBreaker({.max_retries = 5})});
  Offer("long", "k");
  std::optional<Engine::Work> running = engine_->Take(now_);
  ASSERT_TRUE(running);
  for (const char* payload : {"fails", "opens"}) Offer(payload);
  EXPECT_THAT(RunAll(absl::UnavailableError("down")), ElementsAre("fails", "opens"));
  engine_->Revoke(0, [](const Record& record) { return !record.has_key; });
  Offer("first", "k");
  now_ += absl::Seconds(10);
  EXPECT_FALSE(engine_->Take(now_)) << "the probe waits for the call that runs";
  Offer("second", "k");
  std::vector<Engine::Outcome> outcomes(1);
  engine_->Unblock(*running, outcomes, 1, now_);
  EXPECT_FALSE(engine_->Take(now_)) << "and still does, in the lane of its key's own";
  engine_->PauseHandler(0, true, now_);
  engine_->PauseHandler(0, false, now_);
  Finish(*running);
  EXPECT_THAT(RunAll(), ElementsAre("first", "second"));
}

// Its attempt was recorded before it was called, and does not count.
TEST_F(EngineBreakerTest, ASuspectThatOpenedItIsReleasedWithTheAttemptsThatCount) {
  Make({WithBreaker({.max_retries = 5, .order = Order::kPerKeyStrict})});
  OfferSuspect("suspect", "k", "t", /*attempts=*/1, now_ + absl::Seconds(1));
  Offer("1");
  EXPECT_THAT(RunAll(absl::UnavailableError("down")), ElementsAre("1"));
  now_ += absl::Seconds(1);
  EXPECT_THAT(RunAll(absl::UnavailableError("down")), ElementsAre("suspect"));
  EXPECT_EQ(engine_->Progress(now_)[0].gate, Gate::kTripped);
  engine_->Drain(now_);
  auto orders = engine_->TakeSettlements();
  ASSERT_EQ(orders.size(), 1u);
  ASSERT_EQ(orders[0].second.size(), 1u);
  const Settlement& begin = orders[0].second[0];
  EXPECT_EQ(begin.verdict, Settlement::Verdict::kBegin);
  EXPECT_EQ(begin.copies->front().failure.attempts, 1);
  engine_->Settled(0, std::move(orders[0].second), now_);
  Answer();
  EXPECT_EQ(released_, 1);
  EXPECT_EQ(engine_->in_hand(), 0u);
}

TEST_F(EngineBreakerTest, StrictOrderHoldsOverABreaker) {
  Make({WithBreaker({.max_retries = 3, .retry_delay = absl::Seconds(1), .order = Order::kPerKeyStrict})});
  for (const char* payload : {"a1", "a2"}) Offer(payload, "a");
  for (const char* payload : {"b1", "b2"}) Offer(payload, "b");
  EXPECT_THAT(RunAll(absl::UnavailableError("down")), ElementsAre("a1", "b1"));
  for (int i = 0; i < 4; ++i) {
    now_ += absl::Seconds(10);
    const std::vector<std::string> ran = RunAll(absl::UnavailableError("down"));
    ASSERT_EQ(ran.size(), 1u);
    EXPECT_TRUE(ran[0] == "a1" || ran[0] == "b1") << ran[0];
  }
  now_ += absl::Seconds(10);
  const std::vector<std::string> ran = RunAll();
  EXPECT_EQ(ran.size(), 4u);
  const auto place = [&](const char* what) { return std::find(ran.begin(), ran.end(), what) - ran.begin(); };
  EXPECT_LT(place("a1"), place("a2"));
  EXPECT_LT(place("b1"), place("b2"));
  EXPECT_THAT(copies_, IsEmpty());
}

TEST_F(EngineBreakerTest, WhatFollowsARunningCallOfItsStrictKeyIsNoProbe) {
  Make({WithBreaker({.max_retries = 3, .retry_delay = absl::Seconds(1), .order = Order::kPerKeyStrict})});
  Offer("a1", "a");
  std::optional<Engine::Work> first = engine_->Take(now_);
  ASSERT_TRUE(first);
  Offer("a2", "a");
  Offer("1");
  Offer("2");
  EXPECT_THAT(RunAll(absl::UnavailableError("down")), ElementsAre("1", "2"));
  now_ += absl::Seconds(10);
  std::optional<Engine::Work> probe = engine_->Take(now_);
  ASSERT_TRUE(probe);
  EXPECT_EQ(probe->tasks[0]->record->payload, "2");
  Finish(*first, absl::UnavailableError("down"));  // It does not count, and comes again.
  Finish(*probe, absl::UnavailableError("down"));
  now_ += absl::Seconds(10);
  EXPECT_THAT(RunAll(),
              testing::AnyOf(ElementsAre("a1", "a2", "2"), ElementsAre("a1", "2", "a2"), ElementsAre("2", "a1", "a2")));
}

TEST_F(EngineBreakerTest, AStrictKeyIsTriedWhenItsRunningCallHasEnded) {
  Make({WithBreaker({.max_retries = 0, .order = Order::kPerKeyStrict})});
  Offer("a1", "a");
  std::optional<Engine::Work> first = engine_->Take(now_);
  ASSERT_TRUE(first);
  Offer("a2", "a");
  Offer("1");
  Offer("2");
  EXPECT_THAT(RunAll(absl::UnavailableError("down")), ElementsAre("1", "2"));
  Lose("2");
  now_ += absl::Seconds(10);
  EXPECT_FALSE(engine_->Take(now_));
  Finish(*first);
  EXPECT_THAT(RunAll(), ElementsAre("a2"));
}

TEST_F(EngineBreakerTest, APauseWhileAProbeWaitsForItsKeyKeepsItsPlace) {
  Make({WithBreaker({.max_retries = 3})});
  Offer("a1", "a");
  std::optional<Engine::Work> first = engine_->Take(now_);
  ASSERT_TRUE(first);
  Offer("a2", "a");
  Offer("a3", "a");
  Offer("1");
  Offer("2");
  EXPECT_THAT(RunAll(absl::UnavailableError("down")), ElementsAre("1", "2"));
  now_ += absl::Seconds(10);
  engine_->Tick(now_);  // "a2" is the probe, behind "a1".
  engine_->PauseTopic("t", true, now_);
  engine_->PauseTopic("t", false, now_);
  Finish(*first);
  EXPECT_THAT(RunAll(), testing::AnyOf(ElementsAre("a2", "2", "a3"), ElementsAre("a2", "a3", "2")));
}

TEST_F(EngineBreakerTest, APauseDuringAProbeAndAResumeAfterIt) {
  Make({WithBreaker({.max_retries = 0})});
  for (const char* payload : {"1", "2", "3"}) Offer(payload);
  RunAll(absl::UnavailableError("down"));
  now_ += absl::Seconds(10);
  std::optional<Engine::Work> probe = engine_->Take(now_);
  ASSERT_TRUE(probe);
  engine_->PauseHandler(0, true, now_);
  Finish(*probe);
  EXPECT_FALSE(engine_->Take(now_));
  engine_->PauseHandler(0, false, now_);
  EXPECT_EQ(RunAll().size(), 1u);
  EXPECT_EQ(engine_->in_hand(), 0u);
}

}  // namespace
}  // namespace messaging
