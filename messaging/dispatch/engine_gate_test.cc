// Pauses, breakers and rate limits as the engine keeps them: nothing lost, nothing out of order, others go on.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/dispatch/engine.h"
#include "messaging/dispatch/engine_fixture.h"

namespace messaging {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class GateTest : public EngineFixture {
 protected:
  void Offer(const std::string& payload, const std::string& key = "", const std::string& topic = "t") {
    EngineFixture::Offer(source_.Make(key, topic, payload));
  }
  void Finish(const Engine::Work& work, const absl::Status& status = absl::OkStatus()) {
    EngineFixture::Finish(work, status, absl::Milliseconds(10));
    Answer();
  }
  void Answer() {
    for (auto& [subscription, settlements] : engine_->TakeSettlements()) {
      for (Settlement& settlement : settlements) {
        if (settlement.copies != nullptr && settlement.verdict == Settlement::Verdict::kAck) {
          for (const Copy& copy : *settlement.copies) copies_.push_back(copy);
        }
        if (settlement.verdict == Settlement::Verdict::kRelease) ++released_;
        if (settlement.verdict != Settlement::Verdict::kBegin) settlement.delivery.Take();
      }
      engine_->Settled(subscription, std::move(settlements), now_);
    }
  }
  // Runs all that may begin now; the payloads, by handler.
  std::vector<std::string> RunAll(absl::Status status = absl::OkStatus()) {
    std::vector<std::string> ran;
    for (int rounds = 0; rounds < 1000; ++rounds) {
      std::optional<Engine::Work> work = engine_->Take(now_);
      Answer();
      if (!work && !(work = engine_->Take(now_))) return ran;
      for (Engine::Task* task : work->tasks) ran.push_back(std::string(task->record->payload));
      Finish(*work, status);
    }
    ADD_FAILURE() << "does not end";
    return ran;
  }
  std::vector<std::string> Closed() {
    const Room room = engine_->room(0);
    return room.closed == nullptr ? std::vector<std::string>() : *room.closed;
  }

  std::vector<Copy> copies_;
  int released_ = 0;
  int count_ = 0;
};

TEST_F(GateTest, APausedHandlerBeginsNothingAndGoesOnInOrder) {
  Make({{.topics = {"a"}}, {.topics = {"b"}}});
  Offer("1", "k", "a");
  engine_->PauseHandler(0, true, now_);
  Offer("2", "k", "a");
  Offer("other", "k", "b");
  EXPECT_THAT(RunAll(), ElementsAre("other"));
  EXPECT_THAT(Closed(), ElementsAre("a"));
  EXPECT_EQ(engine_->Progress(now_)[0].waiting, 2u);
  EXPECT_EQ(engine_->Progress(now_)[0].gate, Gate::kPaused);
  Offer("3", "k", "a");
  engine_->PauseHandler(0, false, now_);
  EXPECT_TRUE(engine_->TakeRoomsChanged());
  EXPECT_THAT(RunAll(), ElementsAre("1", "2", "3"));
  EXPECT_THAT(Closed(), IsEmpty());
  EXPECT_EQ(engine_->in_hand(), 0u);
}

TEST_F(GateTest, APausedTopicLeavesItsHandlersOtherTopicsAlone) {
  Make({{.topics = {"a", "b"}}});
  Offer("1", "k", "a");
  engine_->PauseTopic("a", true, now_);
  Offer("2", "k", "a");
  Offer("other", "k", "b");
  EXPECT_THAT(RunAll(), ElementsAre("other"));
  EXPECT_THAT(Closed(), ElementsAre("a"));
  EXPECT_THAT(engine_->Progress(now_)[0].paused_topics, ElementsAre("a"));
  engine_->PauseTopic("a", false, now_);
  EXPECT_THAT(RunAll(), ElementsAre("1", "2"));
}

TEST_F(GateTest, WhatWasTakenAndNotBegunGoesBackToTheFront) {
  Make({{}});
  for (const char* payload : {"1", "2", "3", "4"}) Offer(payload, "k");
  while (true) {  // Until the handler counts as quick, and gets several at once.
    std::optional<Engine::Work> work = engine_->Take(now_);
    ASSERT_TRUE(work);
    if (work->tasks.size() >= 2) {
      const size_t size = work->tasks.size();
      engine_->PauseHandler(0, true, now_);
      Offer("last", "k");
      std::vector<Engine::Outcome> outcomes(size);
      const std::string first(work->tasks[0]->record->payload);
      for (size_t i = 1; i < size; ++i) outcomes[i].not_begun = true;
      engine_->Finish(*work, outcomes, absl::Microseconds(1), now_);
      Answer();
      EXPECT_THAT(RunAll(), IsEmpty());
      engine_->PauseHandler(0, false, now_);
      const std::vector<std::string> rest = RunAll();
      ASSERT_GE(rest.size(), size);
      EXPECT_EQ(rest.back(), "last");
      EXPECT_TRUE(std::is_sorted(rest.begin(), rest.end() - 1));
      EXPECT_EQ(std::stoi(rest.front()), std::stoi(first) + 1);
      return;
    }
    std::vector<Engine::Outcome> outcomes(1);
    engine_->Finish(*work, outcomes, absl::Microseconds(1), now_);
    Answer();
    for (int i = 0; i < 4; ++i) Offer(std::to_string(5 + count_++), "k");
  }
}

TEST_F(GateTest, WhatWasNotBegunGoesBeforeWhatASuspectOfItsKeyPulledAhead) {
  Make({{}});
  Offer("1", "k");
  std::optional<Engine::Work> work = engine_->Take(now_);
  ASSERT_TRUE(work);
  EngineFixture::Finish(*work, absl::OkStatus(), absl::Microseconds(1));  // Quick: the next two are taken at once.
  for (const char* payload : {"2", "3", "4"}) Offer(payload, "k");
  work = engine_->Take(now_);
  ASSERT_TRUE(work);
  ASSERT_EQ(work->tasks.size(), 2u);
  std::vector<Delivery> batch;
  batch.push_back(source_.Make("k", "t", "suspect"));
  source_.last().suspect = true;
  engine_->Offer(0, std::move(batch), now_);
  std::vector<Engine::Outcome> outcomes(2);
  outcomes[1].not_begun = true;  // Some handler's gate has changed.
  engine_->Finish(*work, outcomes, absl::Microseconds(1), now_);
  Answer();
  EXPECT_THAT(RunAll(), ElementsAre("3", "4", "suspect"));
}

TEST_F(GateTest, AFullHandOfAPausedHandlerLeavesHalfTheBudgetToOthers) {
  Make({{.topics = {"a"}}, {.topics = {"b"}}}, {.max_messages = 10});
  for (int i = 0; i < 10; ++i) Offer("a", "", "a");
  EXPECT_EQ(engine_->room(0).messages, 0u);
  EXPECT_FALSE(engine_->HasRoomAgain());
  engine_->PauseHandler(0, true, now_);
  EXPECT_EQ(engine_->room(0).messages, 5u);
  EXPECT_TRUE(engine_->HasRoomAgain());
  Offer("other", "", "b");
  EXPECT_THAT(RunAll(), ElementsAre("other"));
}

TEST_F(GateTest, ASharedTopicIsReadForTheOtherUntilHalfTheBudgetWaits) {
  Make({{.topics = {"t"}}, {.topics = {"t"}}}, {.max_messages = 10});
  engine_->PauseHandler(0, true, now_);
  for (int i = 0; i < 4; ++i) Offer(std::to_string(i));
  EXPECT_THAT(RunAll(), ElementsAre("0", "1", "2", "3"));
  EXPECT_THAT(Closed(), IsEmpty());
  Offer("4");
  EXPECT_THAT(RunAll(), ElementsAre("4"));
  EXPECT_THAT(Closed(), ElementsAre("t"));
  engine_->PauseHandler(0, false, now_);
  EXPECT_THAT(RunAll(), ElementsAre("0", "1", "2", "3", "4"));
  EXPECT_EQ(engine_->in_hand(), 0u);
}

TEST_F(GateTest, ASuspectOfAPausedHandlerDoesNotHoldUpOthers) {
  Make({{.topics = {"a"}}, {.topics = {"b"}}});
  engine_->PauseHandler(0, true, now_);
  std::vector<Delivery> batch;
  batch.push_back(source_.Make("k", "a", "suspect"));
  source_.last().suspect = true;
  engine_->Offer(0, std::move(batch), now_);
  Offer("after", "k", "a");
  Offer("other", "", "b");
  EXPECT_THAT(RunAll(), ElementsAre("other"));
  engine_->PauseHandler(0, false, now_);
  EXPECT_THAT(RunAll(), ElementsAre("suspect", "after"));
}

TEST_F(GateTest, APauseWhileASuspectsAttemptIsBeingRecorded) {
  Make({{.topics = {"a"}}, {.topics = {"b"}}});
  std::vector<Delivery> batch;
  batch.push_back(source_.Make("k", "a", "suspect"));
  source_.last().suspect = true;
  engine_->Offer(0, std::move(batch), now_);
  EXPECT_FALSE(engine_->Take(now_));  // Its record is asked for.
  engine_->PauseHandler(0, true, now_);
  Answer();
  Offer("other", "", "b");
  EXPECT_THAT(RunAll(), ElementsAre("other"));
  engine_->PauseHandler(0, false, now_);
  EXPECT_THAT(RunAll(), ElementsAre("suspect"));
}

TEST_F(GateTest, DrainingReleasesWhatIsPaused) {
  Make({{.topics = {"t"}}, {.topics = {"t"}}});
  engine_->PauseHandler(0, true, now_);
  Offer("1");
  EXPECT_THAT(RunAll(), ElementsAre("1"));  // By the other.
  Offer("2");
  engine_->Drain(now_);
  Answer();
  EXPECT_EQ(engine_->in_hand(), 0u);
  EXPECT_EQ(released_, 1);
  ASSERT_EQ(copies_.size(), 1u);  // What the other has had goes on as a copy for the paused one.
  EXPECT_EQ(copies_[0].failure.handler, "h0");
  EXPECT_EQ(copies_[0].failure.attempts, 0);
}

HandlerOptions WithBreaker(HandlerOptions options = {}) {
  options.breaker = {.failures = 2, .probe_after = absl::Seconds(10)};
  return options;
}

TEST_F(GateTest, ABreakerPausesAndBurnsNoAttempt) {
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

TEST_F(GateTest, WhatRanWhenTheBreakerOpenedDoesNotCountEither) {
  Make({WithBreaker({.max_retries = 0})});
  for (const char* payload : {"1", "2", "3"}) Offer(payload);
  std::vector<Engine::Work> works;
  while (std::optional<Engine::Work> work = engine_->Take(now_)) works.push_back(*std::move(work));
  ASSERT_EQ(works.size(), 3u);
  for (const Engine::Work& work : works) Finish(work, absl::UnavailableError("down"));
  EXPECT_EQ(copies_.size(), 1u);
  EXPECT_EQ(engine_->in_hand(), 2u);
}

TEST_F(GateTest, AProbeIsAloneAndTheNextOneReadWhenNothingIsInHand) {
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

TEST_F(GateTest, AProbeThatIsRevokedIsFollowedByAnother) {
  Make({WithBreaker({.max_retries = 0})});
  for (const char* payload : {"1", "2", "3"}) Offer(payload);
  RunAll(absl::UnavailableError("down"));
  now_ += absl::Seconds(10);
  engine_->Tick(now_);  // One waits in its lane as the probe.
  engine_->Revoke(0, [](const Record& record) { return record.payload == "3"; });
  EXPECT_THAT(RunAll(), ElementsAre("2"));
  EXPECT_EQ(engine_->Progress(now_)[0].gate, Gate::kOpen);
}

TEST_F(GateTest, AKeyWhoseSuspectIsRevokedWhileItWaitsToBeAloneIsFree) {
  Make({WithBreaker({.topics = {"a"}, .retry_delay = absl::Seconds(1), .order = Order::kPerKeyStrict}),
        {.topics = {"b"}}});
  std::vector<Delivery> batch;
  batch.push_back(source_.Make("k", "a", "suspect"));
  source_.last().suspect = true;
  engine_->Offer(0, std::move(batch), now_);
  EXPECT_THAT(RunAll(absl::UnavailableError("down")), ElementsAre("suspect"));
  Offer("opens the breaker", "k2", "a");
  EXPECT_THAT(RunAll(absl::UnavailableError("down")), ElementsAre("opens the breaker"));
  engine_->Revoke(0, [](const Record& record) { return record.key == "k2"; });
  Offer("next", "k", "a");
  Offer("other", "", "b");
  std::optional<Engine::Work> other = engine_->Take(now_);
  ASSERT_TRUE(other);
  now_ += absl::Seconds(10);
  EXPECT_FALSE(engine_->Take(now_)) << "the suspect is the probe, and would not be alone";
  engine_->Revoke(0, [](const Record& record) { return record.payload == "suspect"; });
  Finish(*other);
  EXPECT_THAT(RunAll(), ElementsAre("next"));
}

TEST_F(GateTest, AProbeThatWaitsBehindALongCallOfItsKeyKeepsItsPlace) {
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

TEST_F(GateTest, StrictOrderHoldsOverABreaker) {
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

TEST_F(GateTest, WhatFollowsARunningCallOfItsStrictKeyIsNoProbe) {
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

TEST_F(GateTest, AStrictKeyIsTriedWhenItsRunningCallHasEnded) {
  Make({WithBreaker({.max_retries = 0, .order = Order::kPerKeyStrict})});
  Offer("a1", "a");
  std::optional<Engine::Work> first = engine_->Take(now_);
  ASSERT_TRUE(first);
  Offer("a2", "a");
  Offer("1");
  Offer("2");
  EXPECT_THAT(RunAll(absl::UnavailableError("down")), ElementsAre("1", "2"));
  engine_->Revoke(0, [](const Record& record) { return record.payload == "2"; });
  now_ += absl::Seconds(10);
  EXPECT_FALSE(engine_->Take(now_));
  Finish(*first);
  EXPECT_THAT(RunAll(), ElementsAre("a2"));
}

TEST_F(GateTest, APauseWhileAProbeWaitsForItsKeyKeepsItsPlace) {
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

TEST_F(GateTest, APauseDuringAProbeAndAResumeAfterIt) {
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

TEST_F(GateTest, ARateLimitIsKeptAndOthersGoOn) {
  Make({{.topics = {"a"}, .rate_limit = {.per_second = 10, .burst = 2}}, {.topics = {"b"}}});
  for (int i = 0; i < 5; ++i) Offer(std::to_string(i), "", "a");
  Offer("other", "", "b");
  EXPECT_THAT(RunAll(), testing::UnorderedElementsAre("0", "1", "other"));
  EXPECT_EQ(engine_->NextEvent(), now_ + absl::Milliseconds(100));
  now_ += absl::Milliseconds(99);
  EXPECT_THAT(RunAll(), IsEmpty());
  now_ += absl::Milliseconds(1);
  EXPECT_THAT(RunAll(), ElementsAre("2"));
  now_ += absl::Seconds(1);
  EXPECT_THAT(RunAll(), ElementsAre("3", "4"));
}

TEST_F(GateTest, DrainingDoesNotWaitForARate) {
  Make({{.rate_limit = {.per_second = 0.001}}, {}});
  Offer("1");
  Offer("2");
  EXPECT_EQ(RunAll().size(), 3u) << "one of the slow one's, two of the other's";
  engine_->Drain(now_);
  Answer();
  EXPECT_EQ(engine_->in_hand(), 0u);
}

}  // namespace
}  // namespace messaging
