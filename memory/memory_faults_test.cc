// The fault switches, in simulated time.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "memory/memory_broker.h"
#include "memory/test_bench.h"

namespace messaging {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class MemoryFaultsTest : public ::testing::Test {
 protected:
  SimulatedClock clock_;
  MemoryBroker broker_{{.clock = &clock_}};
};

TEST_F(MemoryFaultsTest, FailedPublishIsRefusedAndNotStored) {
  broker_.FailNextPublishes(2, absl::ResourceExhaustedError("full"));
  EXPECT_EQ(Publish(broker_, "t", "1")->result().status(), absl::ResourceExhaustedError("full"));
  EXPECT_EQ(Publish(broker_, "t", "2")->result().status(), absl::ResourceExhaustedError("full"));
  EXPECT_TRUE(Publish(broker_, "t", "3")->result().ok());
  ASSERT_THAT(broker_.messages("t"), SizeIs(1));
  EXPECT_EQ(broker_.messages("t")[0].payload, "3");
}

TEST_F(MemoryFaultsTest, FailedSettlementDoesNothingAndMayBeGivenAgain) {
  TestMember member = Join(broker_, "t", "g");
  Publish(broker_, "t", "1");
  StepAll(broker_);
  broker_.FailNextSettlements(1, absl::UnavailableError("no dead-letter place"));
  member.Settle(member.sink->TakeFirst().DeadLetter({.handler = "h"}));
  std::vector<Settlement> answers = member.sink->TakeAnswers();
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].status, absl::UnavailableError("no dead-letter place"));
  ASSERT_TRUE(answers[0].delivery);
  EXPECT_EQ(answers[0].delivery.record()->payload, "1");
  EXPECT_THAT(List(broker_), IsEmpty());
  member.Settle(std::move(answers[0]));
  EXPECT_TRUE(member.sink->TakeAnswers()[0].status.ok());
  EXPECT_THAT(List(broker_), SizeIs(1));
}

TEST_F(MemoryFaultsTest, DroppedAnswerLeavesTheSendUnknownAtItsDeadlineAndStored) {
  broker_.DropNextAnswers(1);
  const OutgoingPtr outgoing =
      Publish(broker_, {.topic = "t", .payload = "1"}, /*deadline=*/clock_.Now() + absl::Seconds(3));
  EXPECT_FALSE(outgoing->resolved());
  EXPECT_EQ(broker_.NextEvent(), clock_.Now() + absl::Seconds(3));
  clock_.Advance(absl::Seconds(3));
  EXPECT_TRUE(broker_.Step());
  ASSERT_TRUE(outgoing->resolved());
  EXPECT_TRUE(absl::IsDeadlineExceeded(outgoing->result().status()));
  EXPECT_THAT(broker_.messages("t"), SizeIs(1));
}

TEST_F(MemoryFaultsTest, DuplicateComesTwice) {
  TestMember member = Join(broker_, "t", "g");
  broker_.DuplicateNext(1);
  Publish(broker_, "t", "1", "k");
  Publish(broker_, "t", "2", "k");
  StepAll(broker_);
  std::vector<Delivery> got = member.sink->TakeAll();
  ASSERT_THAT(got, SizeIs(3));
  EXPECT_EQ(got[0].record()->payload, "1");
  EXPECT_FALSE(got[0].record()->redelivered);
  EXPECT_EQ(got[1].record()->payload, "1");
  EXPECT_TRUE(got[1].record()->redelivered);
  EXPECT_EQ(got[2].record()->payload, "2");
  for (Delivery& delivery : got) member.Settle(std::move(delivery).Ack());
  StepAll(broker_);
  EXPECT_THAT(member.sink->payloads(), IsEmpty());
}

TEST_F(MemoryFaultsTest, DelayedAnswersComeLateForSendsAndVerdicts) {
  TestMember member = Join(broker_, "t", "g");
  broker_.DelayAnswers(absl::Seconds(2));
  const OutgoingPtr outgoing = Publish(broker_, "t", "1");
  StepAll(broker_);
  EXPECT_FALSE(outgoing->resolved());
  member.AckAll();  // Delivered at once, all the same.
  EXPECT_THAT(member.sink->TakeAnswers(), IsEmpty());
  clock_.Advance(absl::Seconds(2));
  StepAll(broker_);
  ASSERT_TRUE(outgoing->resolved());
  EXPECT_TRUE(outgoing->result().ok());
  EXPECT_THAT(member.sink->TakeAnswers(), SizeIs(1));
}

TEST_F(MemoryFaultsTest, DelayPastTheDeadlineIsUnknown) {
  broker_.DelayAnswers(absl::Seconds(9));
  const OutgoingPtr outgoing = Publish(broker_, {.topic = "t"}, clock_.Now() + absl::Seconds(2));
  clock_.Advance(absl::Seconds(2));
  StepAll(broker_);
  ASSERT_TRUE(outgoing->resolved());
  EXPECT_TRUE(absl::IsDeadlineExceeded(outgoing->result().status()));
}

TEST_F(MemoryFaultsTest, PausedBrokerHoldsEverythingUntilItResumes) {
  TestMember member = Join(broker_, "t", "g");
  Publish(broker_, "t", "0");
  StepAll(broker_);
  broker_.Pause();
  EXPECT_TRUE(absl::IsUnavailable(broker_.Ping(absl::Seconds(1))));
  EXPECT_TRUE(absl::IsUnavailable(broker_.dead_letters().Purge({}).status()));
  const OutgoingPtr first = Publish(broker_, "t", "1", "k");
  const OutgoingPtr second = Publish(broker_, "t", "2", "k");
  member.AckAll();
  StepAll(broker_);
  EXPECT_FALSE(first->resolved());
  EXPECT_THAT(member.sink->TakeAnswers(), IsEmpty());
  EXPECT_THAT(member.sink->payloads(), IsEmpty());
  broker_.Resume();
  EXPECT_TRUE(first->resolved() && first->result().ok());
  EXPECT_TRUE(second->resolved() && second->result().ok());
  StepAll(broker_);
  EXPECT_TRUE(broker_.Ping(absl::Seconds(1)).ok());
  const std::vector<Settlement> answers = member.sink->TakeAnswers();
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_TRUE(answers[0].status.ok());
  EXPECT_THAT(member.sink->payloads(), ElementsAre("1", "2"));
}

TEST_F(MemoryFaultsTest, SendDuringALongPauseIsUnknownAtItsDeadline) {
  broker_.Pause();
  const OutgoingPtr outgoing = Publish(broker_, {.topic = "t"}, clock_.Now() + absl::Seconds(2));
  clock_.Advance(absl::Seconds(2));
  StepAll(broker_);
  ASSERT_TRUE(outgoing->resolved());
  EXPECT_TRUE(absl::IsDeadlineExceeded(outgoing->result().status()));
  broker_.Resume();
  EXPECT_THAT(broker_.messages("t"), IsEmpty());
}

TEST_F(MemoryFaultsTest, CloseDuringAPauseGivesUpItsVerdicts) {
  TestMember member = Join(broker_, "t", "g");
  Publish(broker_, "t", "1");
  StepAll(broker_);
  broker_.Pause();
  member.AckAll();
  EXPECT_TRUE(absl::IsDeadlineExceeded(member.subscription->Close(clock_.Now())));
  const std::vector<Settlement> answers = member.sink->TakeAnswers();
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_TRUE(absl::IsCancelled(answers[0].status));
  broker_.Resume();
  TestMember next = Join(broker_, "t", "g");
  StepAll(broker_);
  const Delivery again = next.sink->TakeFirst();
  ASSERT_TRUE(again);
  EXPECT_TRUE(again.record()->redelivered);
  EXPECT_FALSE(again.record()->suspect);
}

TEST_F(MemoryFaultsTest, EndOfTheBrokerMakesOpenSendsUnknown) {
  OutgoingPtr outgoing;
  {
    MemoryBroker broker({.clock = &clock_});
    broker.Pause();
    outgoing = Publish(broker, "t", "1");
  }
  ASSERT_TRUE(outgoing->resolved());
  EXPECT_TRUE(absl::IsDeadlineExceeded(outgoing->result().status()));
}

}  // namespace
}  // namespace messaging
