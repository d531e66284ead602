#include "messaging/outgoing.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "messaging/broker/clock.h"
#include "messaging/confirmation.h"

namespace messaging {
namespace {

class CountingObserver : public OutgoingObserver {
 public:
  void OnResolved(Outgoing& outgoing) override {
    ++resolved;
    saw_resolved_before_told = outgoing.resolved();
  }
  void AfterResolved(Outgoing& outgoing) override { told_once_resolved = outgoing.resolved(); }
  void Post(std::function<void()> task) override { task(); }
  void OnUnseen(const Outgoing& outgoing) override {
    ++unseen;
    last_unseen = outgoing.result().status();
  }

  std::atomic<int> resolved{0};
  std::atomic<int> unseen{0};
  std::atomic<bool> saw_resolved_before_told{false};
  std::atomic<bool> told_once_resolved{false};
  absl::Status last_unseen;
};

class OutgoingTest : public testing::Test {
 protected:
  OutgoingPtr Make(absl::Duration until = absl::Hours(1)) {
    Message message;
    message.topic = "t";
    message.id = "the-id";
    return std::make_shared<Outgoing>(std::move(message), Clock::Steady().Now() + until, observer_);
  }
  std::shared_ptr<CountingObserver> observer_ = std::make_shared<CountingObserver>();
};

TEST_F(OutgoingTest, FirstAnswerCountsLaterOnesDoNothing) {
  OutgoingPtr outgoing = Make();
  outgoing->Complete(Receipt{.id = "a", .position = 7});
  outgoing->Complete(absl::UnavailableError("late"));
  ASSERT_TRUE(outgoing->result().ok());
  EXPECT_EQ(outgoing->result()->position, 7);
  EXPECT_EQ(observer_->resolved, 1);
}

TEST_F(OutgoingTest, OfManyAnswersAtOnceExactlyOneCounts) {
  for (int round = 0; round < 200; ++round) {
    OutgoingPtr outgoing = Make();
    std::atomic<int> called{0};
    outgoing->OnResult([&](const Outgoing::Result&) { ++called; });
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&, i] { outgoing->Complete(Receipt{.position = i}); });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(called, 1);
    EXPECT_EQ(observer_->resolved, round + 1);
  }
}

TEST_F(OutgoingTest, ObserverIsToldBeforeAnybodyWaiting) {
  OutgoingPtr outgoing = Make();
  outgoing->Complete(Receipt{});
  EXPECT_FALSE(observer_->saw_resolved_before_told);
  EXPECT_TRUE(observer_->told_once_resolved);
}

TEST_F(OutgoingTest, WaitIsWokenByAnAnswerFromAnotherThread) {
  OutgoingPtr outgoing = Make();
  std::thread driver([outgoing] { outgoing->Complete(absl::PermissionDeniedError("no")); });
  EXPECT_EQ(Confirmation(outgoing).Wait().status(), absl::PermissionDeniedError("no"));
  driver.join();
}

TEST_F(OutgoingTest, WaitWithLimitGivesUpAndTheSendGoesOn) {
  OutgoingPtr outgoing = Make();
  const Confirmation confirmation(outgoing);
  EXPECT_TRUE(absl::IsDeadlineExceeded(confirmation.Wait(absl::Milliseconds(1)).status()));
  EXPECT_FALSE(confirmation.resolved());
  outgoing->Complete(Receipt{.position = 3});
  absl::StatusOr<Receipt> receipt = confirmation.Wait(absl::ZeroDuration());
  ASSERT_TRUE(receipt.ok());
  EXPECT_EQ(receipt->position, 3);
}

TEST_F(OutgoingTest, WaitEndsAtTheDeadlineWithoutAnyTimer) {
  OutgoingPtr outgoing = Make(absl::Milliseconds(1));
  const absl::Status status = Confirmation(outgoing).Wait().status();
  EXPECT_TRUE(IsUnknownOutcome(status)) << status;
  EXPECT_TRUE(outgoing->resolved());
}

TEST_F(OutgoingTest, ReceiptWithoutIdHasTheMessageId) {
  OutgoingPtr outgoing = Make();
  outgoing->Complete(Receipt{});
  EXPECT_EQ(Confirmation(outgoing).Wait()->id, "the-id");
  EXPECT_EQ(Confirmation(outgoing).id(), "the-id");
}

TEST_F(OutgoingTest, DroppedByItsDriverItResolvesAsUnknown) {
  absl::Status seen;
  {
    OutgoingPtr outgoing = Make();
    outgoing->Then([&](const Outgoing::Result& result) { seen = result.status(); });
  }
  EXPECT_TRUE(IsUnknownOutcome(seen)) << seen;
  EXPECT_EQ(observer_->resolved, 1);
  EXPECT_EQ(observer_->unseen, 0);
}

TEST_F(OutgoingTest, RefusalThatNobodyLookedAtIsTold) {
  Make()->Complete(absl::NotFoundError("no such topic"));
  EXPECT_EQ(observer_->unseen, 1);
  EXPECT_EQ(observer_->last_unseen, absl::NotFoundError("no such topic"));
}

TEST_F(OutgoingTest, AcceptedThatNobodyLookedAtIsNotTold) {
  Make()->Complete(Receipt{});
  EXPECT_EQ(observer_->unseen, 0);
}

TEST_F(OutgoingTest, LookingByWaitThenOrJoinIsSeen) {
  OutgoingPtr waited = Make();
  waited->Complete(absl::NotFoundError("x"));
  (void)Confirmation(waited).Wait();
  OutgoingPtr called = Make();
  called->Then([](const Outgoing::Result&) {});
  called->Complete(absl::NotFoundError("x"));
  OutgoingPtr joined = Make();
  joined->OnResult([](const Outgoing::Result&) {});
  joined->Complete(absl::NotFoundError("x"));
  waited = called = joined = nullptr;
  EXPECT_EQ(observer_->unseen, 0);
}

TEST_F(OutgoingTest, WaitThatGaveUpHasNotSeenTheRefusal) {
  OutgoingPtr outgoing = Make();
  (void)Confirmation(outgoing).Wait(absl::ZeroDuration());
  outgoing->Complete(absl::NotFoundError("x"));
  outgoing = nullptr;
  EXPECT_EQ(observer_->unseen, 1);
}

TEST_F(OutgoingTest, WaitInACallbackIsAnErrorAlsoWhenResolved) {
  OutgoingPtr other = Make();
  other->Complete(Receipt{});
  OutgoingPtr outgoing = Make();
  absl::Status in_callback;
  absl::Status limited;
  outgoing->Then([&](const Outgoing::Result&) {
    in_callback = Confirmation(other).Wait().status();
    limited = Confirmation(other).Wait(absl::Seconds(1)).status();
  });
  outgoing->Complete(Receipt{});
  EXPECT_TRUE(absl::IsFailedPrecondition(in_callback)) << in_callback;
  EXPECT_TRUE(absl::IsFailedPrecondition(limited)) << limited;
  EXPECT_TRUE(Confirmation(other).Wait().ok());
}

TEST_F(OutgoingTest, ThrowingCallbackEndsNothing) {
  OutgoingPtr outgoing = Make();
  bool second = false;
  outgoing->Then([](const Outgoing::Result&) { throw 1; });
  outgoing->Then([&](const Outgoing::Result&) { second = true; });
  outgoing->Complete(Receipt{});
  EXPECT_TRUE(second);
}

TEST(ConfirmationTest, EmptyOneSaysSo) {
  const Confirmation confirmation;
  EXPECT_TRUE(absl::IsFailedPrecondition(confirmation.Wait().status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(confirmation.Wait(absl::Seconds(1)).status()));
  EXPECT_FALSE(confirmation.resolved());
  EXPECT_EQ(confirmation.id(), "");
  absl::Status seen;
  confirmation.Then([&](const absl::StatusOr<Receipt>& result) { seen = result.status(); });
  EXPECT_TRUE(absl::IsFailedPrecondition(seen));
}

}  // namespace
}  // namespace messaging
