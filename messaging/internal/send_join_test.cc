#include "messaging/internal/send_join.h"

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "messaging/broker/clock.h"
#include "messaging/internal/fake_broker.h"
#include "messaging/internal/joining_sender.h"
#include "messaging/producer.h"

namespace messaging::internal {
namespace {

OutgoingPtr MakeSend(absl::Duration until = absl::Hours(1)) {
  return std::make_shared<Outgoing>(Message{.topic = "t", .id = "i"}, Clock::Steady().Now() + until, nullptr);
}

class SendJoinTest : public testing::Test {
 protected:
  void Watch() {
    join_.WhenAll([this](const absl::Status& status) {
      EXPECT_FALSE(outcome_.has_value()) << "called twice";
      outcome_ = status;
    });
  }
  SendJoin join_;
  std::optional<absl::Status> outcome_;
};

TEST_F(SendJoinTest, WithoutSendsItIsOkAtOnce) {
  EXPECT_TRUE(join_.empty());
  Watch();
  EXPECT_EQ(outcome_, absl::OkStatus());
  EXPECT_TRUE(join_.Wait().ok());
}

TEST_F(SendJoinTest, OkOnlyWhenTheLastIsAccepted) {
  const OutgoingPtr a = MakeSend();
  const OutgoingPtr b = MakeSend();
  join_.Add(a);
  join_.Add(b);
  EXPECT_FALSE(join_.empty());
  Watch();
  b->Complete(Receipt{});
  EXPECT_EQ(outcome_, std::nullopt);
  a->Complete(Receipt{});
  EXPECT_EQ(outcome_, absl::OkStatus());
  EXPECT_FALSE(join_.empty());
}

TEST_F(SendJoinTest, FirstFailureInTheOrderOfSendingWins) {
  const OutgoingPtr a = MakeSend();
  const OutgoingPtr b = MakeSend();
  const OutgoingPtr c = MakeSend();
  for (const OutgoingPtr& send : {a, b, c}) join_.Add(send);
  Watch();
  c->Complete(absl::NotFoundError("c"));
  b->Complete(absl::NotFoundError("b"));
  a->Complete(Receipt{});
  EXPECT_EQ(outcome_, absl::NotFoundError("b"));
}

TEST_F(SendJoinTest, UnknownOutcomeIsAFailure) {
  const OutgoingPtr send = MakeSend();
  join_.Add(send);
  Watch();
  send->CompleteAsOverdue();
  ASSERT_TRUE(outcome_.has_value());
  EXPECT_TRUE(IsUnknownOutcome(*outcome_));
}

TEST_F(SendJoinTest, SendDroppedByItsDriverDoesNotHangTheJoin) {
  join_.Add(MakeSend());
  Watch();
  ASSERT_TRUE(outcome_.has_value());
  EXPECT_TRUE(IsUnknownOutcome(*outcome_));
}

TEST_F(SendJoinTest, WaitBlocksForAnswersFromAnotherThread) {
  const OutgoingPtr a = MakeSend();
  const OutgoingPtr b = MakeSend();
  join_.Add(a);
  join_.Add(b);
  std::thread driver([&] {
    a->Complete(Receipt{});
    b->Complete(absl::UnavailableError("down"));
  });
  EXPECT_EQ(join_.Wait(), absl::UnavailableError("down"));
  driver.join();
}

TEST_F(SendJoinTest, WaitEndsAtTheSendsOwnDeadlineOrItsLimit) {
  const OutgoingPtr overdue = MakeSend(absl::Milliseconds(1));
  join_.Add(overdue);
  EXPECT_TRUE(IsUnknownOutcome(join_.Wait()));
  EXPECT_TRUE(overdue->resolved());
  const OutgoingPtr open = MakeSend();
  join_.Add(open);
  EXPECT_TRUE(absl::IsDeadlineExceeded(join_.Wait(Clock::Steady().Now() + absl::Milliseconds(1))));
  EXPECT_FALSE(open->resolved());
}

TEST_F(SendJoinTest, AcceptedSendsAreLetGoAndFailuresKept) {
  std::weak_ptr<Outgoing> first;
  for (int i = 0; i < 1'000; ++i) {
    OutgoingPtr send = MakeSend();
    if (i == 0) first = send;
    if (i == 10) {
      send->Complete(absl::NotFoundError("ten"));
    } else {
      send->Complete(Receipt{});
    }
    join_.Add(std::move(send));
  }
  EXPECT_TRUE(first.expired());
  EXPECT_EQ(join_.Wait(), absl::NotFoundError("ten"));
}

TEST(ScopedSendJoinTest, NestsAndEnds) {
  SendJoin outer;
  SendJoin inner;
  EXPECT_EQ(ScopedSendJoin::Current(), nullptr);
  {
    const ScopedSendJoin a(&outer);
    {
      const ScopedSendJoin b(&inner);
      EXPECT_EQ(ScopedSendJoin::Current(), &inner);
      std::thread([] { EXPECT_EQ(ScopedSendJoin::Current(), nullptr); }).join();
    }
    EXPECT_EQ(ScopedSendJoin::Current(), &outer);
  }
  EXPECT_EQ(ScopedSendJoin::Current(), nullptr);
}

class JoinedProducerTest : public testing::Test {
 protected:
  FakeBroker broker_;
  Producer producer_{&broker_, {}, nullptr};
  SendJoin join_;
};

TEST_F(JoinedProducerTest, SendsOfTheThreadJoinAndRefusalsToo) {
  broker_.AcceptAll();
  const ScopedSendJoin joined(&join_);
  producer_.Send("t", "x");
  producer_.Send("not a topic", "x");
  EXPECT_TRUE(absl::IsInvalidArgument(join_.Wait()));
}

TEST_F(JoinedProducerTest, DetachedSendsDoNotJoin) {
  const ScopedSendJoin joined(&join_);
  (void)producer_.Send("not a topic", "x", {.detached = true}).Wait();
  EXPECT_TRUE(join_.empty());
}

TEST_F(JoinedProducerTest, SenderJoinsFromAnotherThread) {
  JoiningSender sender(producer_, join_);
  std::thread([&] {
    sender.Send("t", "x", {.key = "k"});
    (void)sender.Send("not a topic", "x", {.detached = true}).Wait();
    EXPECT_EQ(ScopedSendJoin::Current(), nullptr);
  }).join();
  EXPECT_FALSE(join_.empty());
  const std::vector<OutgoingPtr> kept = broker_.TakeKept();
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0]->message().key, "k");
  kept[0]->Complete(Receipt{});
  EXPECT_TRUE(join_.Wait().ok());
}

}  // namespace
}  // namespace messaging::internal
