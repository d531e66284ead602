// What every broker promises, in simulated time.
#include "memory/memory_broker.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "memory/test_bench.h"

namespace messaging {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class MemoryBrokerTest : public ::testing::Test {
 protected:
  TestMember Joined(std::string group = "g", StartAt start_at = StartAt::kBeginning) {
    return Join(broker_, "t", std::move(group), start_at);
  }
  void Send(std::string payload, std::optional<std::string> key = std::nullopt) {
    ASSERT_TRUE(Publish(broker_, "t", std::move(payload), std::move(key))->result().ok());
  }
  Failure Failed(int attempts, std::string handler = "h") {
    return {.handler = std::move(handler),
            .status = absl::UnavailableError("later"),
            .attempts = attempts,
            .first = clock_.Now() - absl::Seconds(attempts),
            .last = clock_.Now()};
  }

  SimulatedClock clock_;
  MemoryBroker broker_{{.clock = &clock_}};
};

TEST_F(MemoryBrokerTest, AnyBytesComeAsTheyWereSent) {
  const std::string bytes("\0\xff\xfe line\n", 10);
  Message sent{.topic = "t", .payload = bytes, .key = bytes, .content_type = "a/b", .id = "id-7"};
  for (int i = 0; i < 100; ++i) sent.headers.emplace_back("same", bytes + std::to_string(i));
  sent.timestamp = clock_.Now() - absl::Hours(1);
  const OutgoingPtr outgoing = Publish(broker_, sent);
  ASSERT_TRUE(outgoing->result().ok());
  EXPECT_EQ(outgoing->result()->id, "id-7");
  EXPECT_EQ(outgoing->result()->position, 0);

  TestMember member = Joined();
  StepAll(broker_);
  const Delivery delivery = member.sink->TakeFirst();
  const Record& record = *delivery.record();
  EXPECT_EQ(record.topic, "t");
  EXPECT_EQ(record.payload, bytes);
  EXPECT_EQ(record.key, bytes);
  EXPECT_EQ(record.id, "id-7");
  EXPECT_EQ(record.content_type, "a/b");
  EXPECT_EQ(record.timestamp, sent.timestamp);
  EXPECT_EQ(record.position, 0);
  EXPECT_FALSE(record.redelivered);
  ASSERT_THAT(record.headers, SizeIs(100));
  EXPECT_EQ(record.headers[99].name, "same");
  EXPECT_EQ(record.headers[99].value, bytes + "99");
}

TEST_F(MemoryBrokerTest, AbsentPayloadAndKeyDifferFromEmptyOnes) {
  Publish(broker_, Message{.topic = "t", .null_payload = true});
  Publish(broker_, Message{.topic = "t", .key = ""});
  TestMember member = Joined();
  StepAll(broker_);
  const std::vector<Delivery> got = member.sink->TakeAll();
  ASSERT_THAT(got, SizeIs(2));
  EXPECT_TRUE(got[0].record()->null_payload);
  EXPECT_FALSE(got[0].record()->has_key);
  EXPECT_FALSE(got[1].record()->null_payload);
  EXPECT_TRUE(got[1].record()->has_key);
}

TEST_F(MemoryBrokerTest, EveryGroupGetsEveryMessage) {
  TestMember a = Joined("a");
  TestMember b = Joined("b");
  Send("1");
  Send("2");
  StepAll(broker_);
  EXPECT_THAT(a.sink->payloads(), ElementsAre("1", "2"));
  EXPECT_THAT(b.sink->payloads(), ElementsAre("1", "2"));
}

TEST_F(MemoryBrokerTest, NewGroupBeginsWhereItIsTold) {
  Send("old");
  TestMember beginning = Joined("a", StartAt::kBeginning);
  TestMember now = Joined("b", StartAt::kNow);
  Send("new");
  StepAll(broker_);
  EXPECT_THAT(beginning.sink->payloads(), ElementsAre("old", "new"));
  EXPECT_THAT(now.sink->payloads(), ElementsAre("new"));
}

TEST_F(MemoryBrokerTest, KnownGroupGoesOnWhereItWas) {
  {
    TestMember first = Joined();
    Send("1");
    StepAll(broker_);
    first.AckAll();
    EXPECT_TRUE(first.subscription->Close(absl::InfiniteFuture()).ok());
  }
  Send("2");
  TestMember second = Joined("g", StartAt::kNow);  // Not new: that is ignored.
  StepAll(broker_);
  EXPECT_THAT(second.sink->payloads(), ElementsAre("2"));
}

TEST_F(MemoryBrokerTest, MembersOfAGroupShare) {
  TestMember a = Joined();
  TestMember b = Joined();
  for (int i = 0; i < 100; ++i) Send(std::to_string(i));
  StepAll(broker_);
  EXPECT_THAT(a.sink->payloads(), SizeIs(::testing::Ge(25u)));
  EXPECT_THAT(b.sink->payloads(), SizeIs(::testing::Ge(25u)));
  EXPECT_EQ(a.sink->payloads().size() + b.sink->payloads().size(), 100u);
}

TEST_F(MemoryBrokerTest, KeyInHandIsWithOneMemberOnly) {
  TestMember a = Joined();
  Send("k1", "k");
  StepAll(broker_);
  ASSERT_THAT(a.sink->payloads(), ElementsAre("k1"));
  a.sink->set_room({});
  TestMember b = Joined();
  Send("k2", "k");
  Send("other", "l");
  Send("k3", "k");
  StepAll(broker_);
  EXPECT_THAT(b.sink->payloads(), ElementsAre("other"));  // k2 and k3 wait, and nothing behind them does.
  a.AckAll();
  StepAll(broker_);
  EXPECT_THAT(b.sink->payloads(), ElementsAre("other", "k2", "k3"));
}

TEST_F(MemoryBrokerTest, UnorderedTopicHoldsNoKeyBack) {
  TestMember a = Join(broker_, "t", "g", StartAt::kBeginning, /*ordered=*/false);
  Send("k1", "k");
  StepAll(broker_);
  a.sink->set_room({});
  TestMember b = Join(broker_, "t", "g", StartAt::kBeginning, /*ordered=*/false);
  Send("k2", "k");
  StepAll(broker_);
  EXPECT_THAT(b.sink->payloads(), ElementsAre("k2"));
}

TEST_F(MemoryBrokerTest, ReleasedMessageComesAgainBeforeLaterOnesOfItsKey) {
  TestMember member = Joined();
  Send("k1", "k");
  Send("k2", "k");
  StepAll(broker_);
  std::vector<Delivery> got = member.sink->TakeAll();
  ASSERT_THAT(got, SizeIs(2));
  member.Settle(std::move(got[0]).Release());
  Send("k3", "k");
  StepAll(broker_);
  EXPECT_THAT(member.sink->payloads(), IsEmpty());  // k2 is still in hand: k1 would come behind it.
  member.Settle(std::move(got[1]).Release());
  StepAll(broker_);
  EXPECT_THAT(member.sink->payloads(), ElementsAre("k1", "k2", "k3"));
  got = member.sink->TakeAll();
  EXPECT_TRUE(got[0].record()->redelivered);
  EXPECT_FALSE(got[0].record()->suspect);
  EXPECT_EQ(got[0].record()->attempts, 0);
  EXPECT_FALSE(got[2].record()->redelivered);
}

TEST_F(MemoryBrokerTest, DroppedDeliveryIsARelease) {
  TestMember member = Joined();
  Send("1");
  StepAll(broker_);
  member.sink->TakeAll();
  StepAll(broker_);
  const Delivery again = member.sink->TakeFirst();
  ASSERT_TRUE(again);
  EXPECT_EQ(again.record()->payload, "1");
  EXPECT_FALSE(again.record()->suspect);
}

TEST_F(MemoryBrokerTest, DeliveryMayBeDroppedAfterItsSubscriptionClosed) {
  Delivery late;
  {
    TestMember member = Joined();
    Send("1");
    StepAll(broker_);
    late = member.sink->TakeFirst();
    EXPECT_TRUE(member.subscription->Close(absl::InfiniteFuture()).ok());
  }
  EXPECT_EQ(late.record()->payload, "1");
  late = Delivery();
  TestMember next = Joined();
  StepAll(broker_);
  EXPECT_THAT(next.sink->payloads(), ElementsAre("1"));
}

TEST_F(MemoryBrokerTest, DeliveryOutlivesTheBroker) {
  Delivery late;
  {
    MemoryBroker broker({.clock = &clock_});
    Publish(broker, "t", std::string(100'000, 'x'));
    TestMember member = Join(broker, "t", "g");
    StepAll(broker);
    late = member.sink->TakeFirst();
  }
  EXPECT_EQ(late.record()->payload, std::string(100'000, 'x'));
}

TEST_F(MemoryBrokerTest, RetryComesWhenItsDelayHasPassedAndNothingWaitsForIt) {
  TestMember member = Joined();
  Send("fails", "k");
  StepAll(broker_);
  const absl::Time due = clock_.Now() + absl::Seconds(5);
  member.Settle(member.sink->TakeFirst().RetryAfter(absl::Seconds(5), Failed(1)));
  Send("next", "k");
  StepAll(broker_);
  EXPECT_THAT(member.sink->payloads(), ElementsAre("next"));
  member.AckAll();
  EXPECT_EQ(broker_.NextEvent(), due);
  clock_.Advance(absl::Seconds(5) - absl::Nanoseconds(1));
  EXPECT_FALSE(broker_.Step());
  clock_.Advance(absl::Nanoseconds(1));
  StepAll(broker_);
  const Delivery retry = member.sink->TakeFirst();
  ASSERT_TRUE(retry);
  const Record& record = *retry.record();
  EXPECT_EQ(record.payload, "fails");
  EXPECT_EQ(record.topic, "t");
  EXPECT_EQ(record.handler, "h");
  EXPECT_EQ(record.attempts, 1);
  EXPECT_EQ(record.position, 0);
  EXPECT_EQ(record.last_error, absl::UnavailableError("later").ToString());
  EXPECT_EQ(record.first_failure, due - absl::Seconds(6));
  EXPECT_FALSE(record.suspect);
}

TEST_F(MemoryBrokerTest, RetryIsItsGroupsAlone) {
  TestMember a = Joined("a");
  TestMember b = Joined("b");
  Send("1");
  StepAll(broker_);
  b.AckAll();
  a.Settle(a.sink->TakeFirst().RetryAfter(absl::ZeroDuration(), Failed(1)));
  StepAll(broker_);
  EXPECT_THAT(a.sink->payloads(), ElementsAre("1"));
  EXPECT_THAT(b.sink->payloads(), IsEmpty());
}

TEST_F(MemoryBrokerTest, RetryOfAKeyWaitsWhileAnotherMemberHasTheKey) {
  TestMember a = Joined();
  Send("1", "k");
  StepAll(broker_);
  a.Settle(a.sink->TakeFirst().RetryAfter(absl::Seconds(1), Failed(1)));
  Send("2", "k");
  StepAll(broker_);
  a.sink->set_room({});
  TestMember b = Joined();
  clock_.Advance(absl::Seconds(1));
  StepAll(broker_);
  EXPECT_THAT(b.sink->payloads(), IsEmpty());
  a.AckAll();
  StepAll(broker_);
  EXPECT_THAT(b.sink->payloads(), ElementsAre("1"));
}

TEST_F(MemoryBrokerTest, OneAckMayLeaveACopyForEachFailedHandler) {
  TestMember member = Joined();
  Send("1");
  StepAll(broker_);
  Settlement settlement = member.sink->TakeFirst().RetryAfter(absl::Seconds(1), Failed(1, "first"));
  settlement.copies->push_back({.kind = Copy::Kind::kDeadLetter, .failure = Failed(4, "second")});
  settlement.copies->push_back({.kind = Copy::Kind::kRetry, .failure = Failed(0, "third"), .suspect = true});
  member.Settle(std::move(settlement));
  StepAll(broker_);
  const Delivery third = member.sink->TakeFirst();
  EXPECT_EQ(third.record()->handler, "third");
  EXPECT_TRUE(third.record()->suspect);
  EXPECT_THAT(List(broker_, {.handler = "second"}), SizeIs(1));
  clock_.Advance(absl::Seconds(1));
  StepAll(broker_);
  EXPECT_EQ(member.sink->TakeFirst().record()->handler, "first");
}

TEST_F(MemoryBrokerTest, MessagesOfACrashedMemberAreSuspectForOthers) {
  TestMember a = Joined();
  Send("1", "k");
  Send("2", "k");
  StepAll(broker_);
  a.Settle(a.sink->TakeFirst().Begin("h", 3, absl::Seconds(7)));
  std::vector<Settlement> begun = a.sink->TakeAnswers();
  ASSERT_THAT(begun, SizeIs(1));
  EXPECT_TRUE(begun[0].status.ok());
  ASSERT_TRUE(begun[0].delivery);  // Still in hand.

  broker_.Crash(*a.subscription);
  TestMember b = Joined();
  StepAll(broker_);
  std::vector<Delivery> got = b.sink->TakeAll();
  ASSERT_THAT(got, SizeIs(2));
  EXPECT_EQ(got[0].record()->payload, "1");
  EXPECT_TRUE(got[0].record()->suspect);
  EXPECT_TRUE(got[0].record()->redelivered);
  EXPECT_EQ(got[0].record()->attempts, 3);
  EXPECT_EQ(got[0].record()->attempts_of, "h");
  EXPECT_EQ(got[0].record()->not_before, clock_.Now() + absl::Seconds(7));
  EXPECT_TRUE(got[1].record()->suspect);
  EXPECT_EQ(got[1].record()->attempts, 0);

  // The dead member's verdict comes too late: it does nothing, and says so.
  a.Settle(std::move(begun[0].delivery).Ack());
  const std::vector<Settlement> answers = a.sink->TakeAnswers();
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_TRUE(absl::IsCancelled(answers[0].status));
  EXPECT_FALSE(answers[0].delivery);
  b.Settle(std::move(got[0]).Release());
  b.Settle(std::move(got[1]).Ack());
  StepAll(broker_);
  EXPECT_THAT(b.sink->payloads(), ElementsAre("1"));
}

TEST_F(MemoryBrokerTest, DestructionWithoutCloseIsAnUncleanEnd) {
  std::vector<Delivery> held;
  {
    TestMember member = Joined();
    Send("1");
    StepAll(broker_);
    held = member.sink->TakeAll();
  }
  TestMember next = Joined();
  StepAll(broker_);
  EXPECT_TRUE(next.sink->TakeFirst().record()->suspect);
}

TEST_F(MemoryBrokerTest, CrashOfMembersIsOfThisBrokersAlone) {
  MemoryBroker one({.name = "shared", .clock = &clock_});
  MemoryBroker two({.name = "shared"});
  EXPECT_TRUE(two.capabilities().simulated_time);  // The first one's options hold.
  TestMember a = Join(one, "t", "a");
  TestMember b = Join(two, "t", "b");
  Publish(two, "t", "1");
  StepAll(one);
  one.CrashMembers();
  TestMember a2 = Join(two, "t", "a");
  TestMember b2 = Join(two, "t", "b");
  StepAll(two);
  EXPECT_THAT(a2.sink->payloads(), ElementsAre("1"));
  EXPECT_THAT(b.sink->payloads(), ElementsAre("1"));
  EXPECT_THAT(b2.sink->payloads(), IsEmpty());
}

TEST_F(MemoryBrokerTest, DeadLettersAreKeptWithWhyAndPurged) {
  TestMember member = Joined();
  Message sent{.topic = "t", .payload = "bytes", .key = "k", .headers = {{"a", "b"}}, .id = "m1"};
  Publish(broker_, sent);
  Publish(broker_, "t", "other");
  StepAll(broker_);
  member.Settle(member.sink->TakeFirst().DeadLetter(Failed(4)));
  member.Settle(member.sink->TakeFirst().DeadLetter(Failed(1, "h2")));
  const std::vector<DeadLetter> letters = List(broker_, {.group = "g", .topic = "t", .handler = "h"});
  ASSERT_THAT(letters, SizeIs(1));
  EXPECT_EQ(letters[0].message.payload, "bytes");
  EXPECT_EQ(letters[0].message.topic, "t");
  EXPECT_EQ(letters[0].message.key, "k");
  EXPECT_EQ(letters[0].message.headers, sent.headers);
  EXPECT_EQ(letters[0].failure.attempts, 4);
  EXPECT_EQ(letters[0].failure.status, absl::UnavailableError("later"));
  EXPECT_EQ(letters[0].dead_since, clock_.Now());
  EXPECT_THAT(List(broker_, {.ids = {"m1"}}), SizeIs(1));
  EXPECT_THAT(List(broker_, {.ids = {letters[0].id}}), SizeIs(1));
  EXPECT_THAT(List(broker_, {.group = "other"}), IsEmpty());
  EXPECT_THAT(List(broker_, {.since = clock_.Now() + absl::Seconds(1)}), IsEmpty());
  EXPECT_EQ(broker_.dead_letters().Purge({.ids = {"m1"}}).value(), 1);
  EXPECT_THAT(List(broker_), SizeIs(1));
}

TEST_F(MemoryBrokerTest, ReplayGoesToTheFailingHandlerWithItsAttemptsAtZero) {
  TestMember a = Joined("a");
  TestMember b = Joined("b");
  Send("1", "k");
  StepAll(broker_);
  b.AckAll();
  a.Settle(a.sink->TakeFirst().DeadLetter(Failed(4)));
  EXPECT_EQ(broker_.dead_letters().Replay({.group = "a"}).value(), 1);
  EXPECT_THAT(List(broker_), IsEmpty());
  StepAll(broker_);
  const Delivery replayed = a.sink->TakeFirst();
  ASSERT_TRUE(replayed);
  EXPECT_EQ(replayed.record()->handler, "h");
  EXPECT_EQ(replayed.record()->attempts, 0);
  EXPECT_EQ(replayed.record()->payload, "1");
  EXPECT_THAT(b.sink->payloads(), IsEmpty());
}

TEST_F(MemoryBrokerTest, LargeMessageIsRefusedForGood) {
  MemoryBroker broker({.clock = &clock_, .max_message_bytes = 10});
  EXPECT_EQ(broker.capabilities().max_message_bytes, 10u);
  EXPECT_TRUE(absl::IsInvalidArgument(Publish(broker, "t", std::string(11, 'x'))->result().status()));
  EXPECT_TRUE(Publish(broker, "t", std::string(10, 'x'))->result().ok());
}

TEST_F(MemoryBrokerTest, FullBrokerRefusesUntilMessagesAreHandled) {
  MemoryBroker broker({.clock = &clock_, .max_bytes = 1 << 20});
  int stored = 0;
  while (Publish(broker, "t", std::string(200, 'x'))->result().ok()) ++stored;
  EXPECT_GT(stored, 1024);
  EXPECT_TRUE(absl::IsResourceExhausted(Publish(broker, "t", std::string(200, 'x'))->result().status()));
  TestMember member = Join(broker, "t", "g");
  StepAll(broker);
  EXPECT_EQ(static_cast<int>(member.sink->payloads().size()), stored);
  member.AckAll();
  EXPECT_TRUE(Publish(broker, "t", std::string(200, 'x'))->result().ok());
}

TEST_F(MemoryBrokerTest, HandledMessagesPastTheRetentionAreForgotten) {
  MemoryBroker broker({.clock = &clock_, .retain_bytes = 100'000});
  TestMember member = Join(broker, "t", "g");
  for (int i = 0; i < 5000; ++i) Publish(broker, "t", std::to_string(i));
  StepAll(broker);
  member.AckAll();
  const std::vector<Message> kept = broker.messages("t");
  EXPECT_LT(kept.size(), 1100u);
  EXPECT_EQ(kept.back().payload, "4999");
  TestMember late = Join(broker, "t", "late");
  StepAll(broker);
  EXPECT_EQ(late.sink->payloads().size(), kept.size());
}

TEST_F(MemoryBrokerTest, UnhandledMessagesAreNeverForgotten) {
  MemoryBroker broker({.clock = &clock_, .retain_bytes = 0});
  TestMember a = Join(broker, "t", "a");
  TestMember b = Join(broker, "t", "b");
  for (int i = 0; i < 3000; ++i) Publish(broker, "t", std::to_string(i));
  StepAll(broker);
  a.AckAll();
  EXPECT_EQ(broker.messages("t").size(), 3000u);
  b.AckAll();
  EXPECT_EQ(broker.messages("t").size(), 3000u % 1024);
}

TEST_F(MemoryBrokerTest, RoomIsKept) {
  for (int i = 0; i < 100; ++i) Send(std::string(1000, 'x'));
  TestMember member = Joined();
  member.sink->set_room({.messages = 30, .bytes = 1 << 20});
  StepAll(broker_);
  EXPECT_THAT(member.sink->payloads(), SizeIs(30));
  member.AckAll();
  member.subscription->Wake();
  member.sink->set_room({.messages = 30, .bytes = 5000});
  StepAll(broker_);
  // The one that used it up was begun within it.
  const size_t each = 1000 + sizeof(Record) + 1;
  EXPECT_THAT(member.sink->payloads(), SizeIs(5000 / each + 1));
}

TEST_F(MemoryBrokerTest, NoRoomMeansNothingUntilWake) {
  TestMember member = Joined();
  member.sink->set_room({});
  Send("1");
  StepAll(broker_);
  member.sink->set_room({.messages = 1, .bytes = 100});
  EXPECT_FALSE(broker_.Step());
  member.subscription->Wake();
  EXPECT_TRUE(broker_.Step());
  EXPECT_THAT(member.sink->payloads(), ElementsAre("1"));
}

TEST_F(MemoryBrokerTest, BacklogCountsWhatWaits) {
  for (int i = 0; i < 5; ++i) Send(std::to_string(i), "k");
  TestMember member = Joined();
  EXPECT_EQ(member.subscription->Backlog().value(), 5);
  StepAll(broker_);
  EXPECT_EQ(member.subscription->Backlog().value(), 0);
  member.Settle(member.sink->TakeFirst().RetryAfter(absl::Seconds(9), Failed(1)));
  EXPECT_EQ(member.subscription->Backlog().value(), 1);
  member.Settle(member.sink->TakeFirst().Release());
  EXPECT_EQ(member.subscription->Backlog().value(), 2);
}

TEST_F(MemoryBrokerTest, StoppedSubscriptionGetsNothingAndSettlesOn) {
  TestMember member = Joined();
  Send("1");
  StepAll(broker_);
  member.subscription->StopFetching();
  Send("2");
  EXPECT_FALSE(broker_.Step());
  member.AckAll();
  EXPECT_TRUE(member.sink->TakeAnswers()[0].status.ok());
  EXPECT_TRUE(member.subscription->Close(absl::InfiniteFuture()).ok());
  TestMember next = Joined();
  StepAll(broker_);
  EXPECT_THAT(next.sink->payloads(), ElementsAre("2"));
}

TEST_F(MemoryBrokerTest, WhatAClosedMemberStillHeldIsOthers) {
  TestMember member = Joined();
  Send("1", "k");
  StepAll(broker_);
  Delivery stuck = member.sink->TakeFirst();
  EXPECT_TRUE(member.subscription->Close(absl::InfiniteFuture()).ok());
  TestMember next = Joined();
  StepAll(broker_);
  EXPECT_THAT(next.sink->payloads(), ElementsAre("1"));
  member.Settle(std::move(stuck).Ack());  // The handler returned at last.
  EXPECT_TRUE(absl::IsCancelled(member.sink->TakeAnswers()[0].status));
}

TEST_F(MemoryBrokerTest, SeveralTopicsInOneSubscription) {
  FakeSink sink;
  auto subscription = broker_.Subscribe({.group = "g", .topics = {{.topic = "a"}, {.topic = "b"}}}, &sink).value();
  ASSERT_TRUE(subscription->Start().ok());
  Publish(broker_, "a", "1");
  Publish(broker_, "b", "2");
  Publish(broker_, "c", "3");
  StepAll(broker_);
  EXPECT_THAT(sink.payloads(), ::testing::UnorderedElementsAre("1", "2"));
}

TEST_F(MemoryBrokerTest, OrderOfAKeyHoldsWhateverMembersDo) {
  // A fixed mixture of releases, drops and crashes over three members: each key's first handling keeps its order.
  constexpr int kMessages = 3000;
  constexpr int kKeys = 7;
  for (int i = 0; i < kMessages; ++i) Send(std::to_string(i), "k" + std::to_string(i % kKeys));
  uint32_t random = 1;
  auto next = [&random](uint32_t n) { return (random = random * 1664525 + 1013904223) / 65536 % n; };
  std::vector<TestMember> members;
  for (int i = 0; i < 3; ++i) members.push_back(Joined());
  std::vector<int> last(kKeys, -1);
  int done = 0;
  for (int round = 0; done < kMessages; ++round) {
    ASSERT_LT(round, 100'000);
    for (TestMember& member : members) {
      member.sink->set_room({.messages = 1 + next(20), .bytes = 1 << 20});
      member.subscription->Wake();
    }
    broker_.Step();
    TestMember& member = members[next(3)];
    if (next(50) == 0) {
      broker_.Crash(*member.subscription);
      member = Joined();
      continue;
    }
    // As the engine: in order within a key, and behind a release only releases.
    std::vector<Delivery> got = member.sink->TakeAll();
    std::vector<bool> releasing(kKeys, next(4) == 0);
    for (Delivery& delivery : got) {
      const int number = std::stoi(std::string(delivery.record()->payload));
      const int key = number % kKeys;
      if (next(20) == 0) releasing[key] = true;
      if (releasing[key]) {
        member.Settle(std::move(delivery).Release());
        continue;
      }
      EXPECT_EQ(number, last[key] < 0 ? key : last[key] + kKeys);
      last[key] = number;
      ++done;
      member.Settle(std::move(delivery).Ack());
    }
  }
  StepAll(broker_);
  for (TestMember& member : members) EXPECT_THAT(member.sink->payloads(), IsEmpty());
}

}  // namespace
}  // namespace messaging
