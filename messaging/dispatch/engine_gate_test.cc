// Pauses and rate limits as the engine keeps them: nothing lost, nothing out of order, others go on.
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

using GateTest = GateFixture;

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
  OfferSuspect("suspect", "k");
  std::vector<Engine::Outcome> outcomes(2);
  outcomes[1].not_begun = true;  // Some handler's gate has changed.
  engine_->Finish(*work, outcomes, absl::Microseconds(1), now_);
  Answer();
  EXPECT_THAT(RunAll(), ElementsAre("3", "4", "suspect"));
}

TEST_F(GateTest, ASuspectThatWasNotBegunGoesBeforeLaterOnesOfItsKey) {
  Make({{}});
  OfferSuspect("1", "k");
  OfferSuspect("2", "k");
  EXPECT_FALSE(engine_->Take(now_));
  Answer();
  std::optional<Engine::Work> work = engine_->Take(now_);
  ASSERT_TRUE(work);
  Offer("3", "k");
  std::vector<Engine::Outcome> outcomes(1);
  outcomes[0].not_begun = true;
  engine_->Finish(*work, outcomes, absl::Microseconds(1), now_);
  EXPECT_THAT(RunAll(), ElementsAre("1", "2", "3"));
}

TEST_F(GateTest, WhatWaitsBehindASuspectThatIsLostGoesOn) {
  Make({{.topics = {"lost", "kept"}, .retry_delay = absl::Seconds(1), .order = Order::kPerKeyStrict},
        {.topics = {"other"}}});
  OfferSuspect("suspect", "k", "lost");
  EXPECT_THAT(RunAll(absl::UnavailableError("down")), ElementsAre("suspect"));
  Offer("next", "k", "kept");
  EXPECT_THAT(RunAll(), IsEmpty());
  Offer("other", "", "other");
  std::optional<Engine::Work> other = engine_->Take(now_);
  ASSERT_TRUE(other);
  now_ += absl::Seconds(1);
  EXPECT_FALSE(engine_->Take(now_)) << "its second attempt is due, and would not be alone";
  engine_->Revoke(0, [](const Record& record) { return record.topic == "lost"; });
  Finish(*other);
  EXPECT_THAT(RunAll(), ElementsAre("next"));
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
  OfferSuspect("suspect", "k", "a");
  Offer("after", "k", "a");
  Offer("other", "", "b");
  EXPECT_THAT(RunAll(), ElementsAre("other"));
  engine_->PauseHandler(0, false, now_);
  EXPECT_THAT(RunAll(), ElementsAre("suspect", "after"));
}

TEST_F(GateTest, APauseWhileASuspectsAttemptIsBeingRecorded) {
  Make({{.topics = {"a"}}, {.topics = {"b"}}});
  OfferSuspect("suspect", "k", "a");
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
