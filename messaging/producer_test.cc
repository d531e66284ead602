#include "messaging/producer.h"

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/internal/fake_broker.h"
#include "messaging/log.h"
#include "messaging/observer.h"

namespace messaging {

struct Celsius {
  double degrees;
};
template <>
struct Codec<Celsius> {
  static absl::Status Encode(const Celsius& value, Message& out) {
    if (value.degrees < -273) return absl::InvalidArgumentError("below zero");
    if (value.degrees > 1000) throw std::runtime_error("too hot");
    out.payload = absl::StrCat("asked for ", out.content_type);
    out.content_type = "text/celsius";
    return absl::OkStatus();
  }
};

namespace {

using internal::FakeBroker;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Pair;

class CountingObserver : public Observer {
 public:
  void OnSent(std::string_view, size_t) override { ++sent; }
  void OnSendResolved(std::string_view, const absl::Status& status, absl::Duration latency) override {
    ++(status.ok() ? accepted : IsUnknownOutcome(status) ? unknown : refused);
    if (latency < absl::ZeroDuration()) ++negative_latencies;
  }
  void OnSendFailureUnseen(std::string_view, const absl::Status&) override { ++unseen; }
  std::atomic<int> sent{0}, accepted{0}, refused{0}, unknown{0}, unseen{0}, negative_latencies{0};
};

class ProducerTest : public testing::Test {
 protected:
  void Start(ProducerOptions options = {}) { producer_ = std::make_unique<Producer>(&broker_, options, &observer_); }
  void SetUp() override {
    SetLogSink([this](Severity, std::string_view line) {
      absl::MutexLock lock(&mutex_);
      lines_.emplace_back(line);
    });
    Start();
  }
  void TearDown() override {
    broker_.AcceptAll();
    for (const OutgoingPtr& message : broker_.TakeKept()) message->Complete(Receipt{});
    producer_ = nullptr;
    SetLogSink(nullptr);
  }
  std::vector<std::string> lines() {
    absl::MutexLock lock(&mutex_);
    return lines_;
  }

  FakeBroker broker_;
  CountingObserver observer_;
  std::unique_ptr<Producer> producer_;
  absl::Mutex mutex_;
  std::vector<std::string> lines_;
};

TEST_F(ProducerTest, AcceptedSendHasAReceipt) {
  broker_.AnswerWith([](const OutgoingPtr& message) { message->Complete(Receipt{.partition = 2, .position = 9}); });
  const Confirmation confirmation = producer_->Send("t", "text");
  const absl::StatusOr<Receipt> receipt = confirmation.Wait();
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_EQ(receipt->partition, 2);
  EXPECT_EQ(receipt->position, 9);
  EXPECT_EQ(receipt->id, confirmation.id());
}

TEST_F(ProducerTest, MessageCarriesWhatTheOptionsSay) {
  const absl::Time time = absl::UnixEpoch() + absl::Hours(5);
  producer_->Send("a.topic", std::string("a\0b", 3),
                  {.key = "k", .headers = {{"x", "1"}, {"x", "2"}}, .id = "mine", .timestamp = time});
  const std::vector<OutgoingPtr> kept = broker_.TakeKept();
  ASSERT_EQ(kept.size(), 1u);
  const Message& message = kept[0]->message();
  EXPECT_EQ(message.topic, "a.topic");
  EXPECT_EQ(message.payload, std::string("a\0b", 3));
  EXPECT_EQ(message.key, "k");
  EXPECT_THAT(message.headers, ElementsAre(Pair("x", "1"), Pair("x", "2")));
  EXPECT_EQ(message.id, "mine");
  EXPECT_EQ(message.timestamp, time);
  EXPECT_EQ(message.content_type, "application/octet-stream");
  kept[0]->Complete(Receipt{});
}

TEST_F(ProducerTest, CodecSeesTheContentTypeAskedForAndOptionsOverrideItsOwn) {
  broker_.AcceptAll();
  Message seen;
  broker_.AnswerWith([&](const OutgoingPtr& message) {
    seen = message->message();
    message->Complete(Receipt{});
  });
  producer_->Send("t", Celsius{20});
  EXPECT_EQ(seen.payload, "asked for ");
  EXPECT_EQ(seen.content_type, "text/celsius");
  producer_->Send("t", Celsius{20}, {.content_type = "text/other"});
  EXPECT_EQ(seen.payload, "asked for text/other");
  EXPECT_EQ(seen.content_type, "text/other");
}

TEST_F(ProducerTest, FailedOrThrowingEncodingIsARefusal) {
  EXPECT_EQ(producer_->Send("t", Celsius{-300}).Wait().status(), absl::InvalidArgumentError("below zero"));
  const absl::Status thrown = producer_->Send("t", Celsius{2000}).Wait().status();
  EXPECT_TRUE(absl::IsInvalidArgument(thrown));
  EXPECT_THAT(thrown.message(), HasSubstr("too hot"));
  EXPECT_TRUE(broker_.TakeKept().empty());
}

TEST_F(ProducerTest, MessageMadeByHandGoesAsItIsWithOptionsAdded) {
  Message message{.topic = "t", .null_payload = true, .headers = {{"a", "1"}}, .content_type = "x/y", .id = "i"};
  producer_->Send(message, {.headers = {{"b", "2"}}});
  const std::vector<OutgoingPtr> kept = broker_.TakeKept();
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_TRUE(kept[0]->message().null_payload);
  EXPECT_EQ(kept[0]->message().content_type, "x/y");
  EXPECT_EQ(kept[0]->message().id, "i");
  EXPECT_EQ(kept[0]->message().key, std::nullopt);
  EXPECT_THAT(kept[0]->message().headers, ElementsAre(Pair("a", "1"), Pair("b", "2")));
  kept[0]->Complete(Receipt{});
}

TEST_F(ProducerTest, IdsAreUuidsAndDiffer) {
  broker_.AcceptAll();
  absl::Mutex mutex;
  std::set<std::string> ids;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        std::string id = producer_->Send("t", "x").id();
        absl::MutexLock lock(&mutex);
        ids.insert(std::move(id));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ids.size(), 2000u);
  const std::string hex = "[0-9a-f]";
  for (const std::string& id : ids) {
    ASSERT_EQ(id.size(), 36u);
    ASSERT_THAT(id, MatchesRegex("[0-9a-f]*-[0-9a-f]*-7[0-9a-f]*-[89ab][0-9a-f]*-[0-9a-f]*"));
  }
}

TEST_F(ProducerTest, TimestampIsTheTimeOfSend) {
  const absl::Time before = absl::Now();
  producer_->Send("t", "x");
  const std::vector<OutgoingPtr> kept = broker_.TakeKept();
  EXPECT_GE(kept[0]->message().timestamp, before);
  EXPECT_LE(kept[0]->message().timestamp, absl::Now());
  kept[0]->Complete(Receipt{});
}

TEST_F(ProducerTest, DefaultDeadlineIsTwoMinutesFromSend) {
  producer_->Send("t", "x");
  producer_->Send("t", "x", {.deadline = absl::Seconds(7)});
  const std::vector<OutgoingPtr> kept = broker_.TakeKept();
  EXPECT_EQ(kept[0]->deadline() - kept[0]->sent(), absl::Seconds(120));
  EXPECT_EQ(kept[1]->deadline() - kept[1]->sent(), absl::Seconds(7));
  for (const OutgoingPtr& message : kept) message->Complete(Receipt{});
}

TEST_F(ProducerTest, InvalidTopicsAreRefused) {
  for (const std::string& topic :
       {std::string(), std::string("a b"), std::string("ä"), std::string("a/b"), std::string(121, 'a'),
        std::string("a\0b", 3), std::string("__messaging.dead.1.a.b")}) {
    EXPECT_TRUE(absl::IsInvalidArgument(producer_->Send(topic, "x").Wait().status())) << topic;
  }
  broker_.AcceptAll();
  EXPECT_TRUE(producer_->Send(std::string(120, 'a'), "x").Wait().ok());
}

TEST_F(ProducerTest, ReservedHeaderNamesAreRefused) {
  const absl::Status status = producer_->Send("t", "x", {.headers = {{"messaging-id", "1"}}}).Wait().status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(status.message(), HasSubstr("messaging-id"));
  broker_.AcceptAll();
  EXPECT_TRUE(producer_->Send("t", "x", {.headers = {{"messaging", "1"}, {"x-messaging-id", "1"}}}).Wait().ok());
}

TEST_F(ProducerTest, FullByMessagesItRefusesUntilOneIsResolved) {
  Start({.max_messages = 2});
  producer_->Send("t", "1");
  producer_->Send("t", "2");
  EXPECT_EQ(producer_->pending(), 2u);
  EXPECT_TRUE(absl::IsResourceExhausted(producer_->Send("t", "3").Wait().status()));
  std::vector<OutgoingPtr> kept = broker_.TakeKept();
  ASSERT_EQ(kept.size(), 2u);
  kept[0]->Complete(Receipt{});
  EXPECT_EQ(producer_->pending(), 1u);
  const Confirmation fits = producer_->Send("t", "4");
  EXPECT_FALSE(fits.resolved());
  kept[1]->Complete(Receipt{});
}

TEST_F(ProducerTest, FullByBytesItRefusesAndSmallerOnesStillFit) {
  Start({.max_bytes = 10'000});
  producer_->Send("t", std::string(6'000, 'x'));
  EXPECT_TRUE(absl::IsResourceExhausted(producer_->Send("t", std::string(6'000, 'x')).Wait().status()));
  EXPECT_FALSE(producer_->Send("t", "small").resolved());
}

TEST_F(ProducerTest, MessageThatNeverFitsIsRefusedForGood) {
  Start({.max_bytes = 10'000});
  for (const bool wait : {false, true}) {
    const absl::Status status = producer_->Send("t", std::string(10'001, 'x'), {.wait_for_room = wait}).Wait().status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  }
}

TEST_F(ProducerTest, WaitForRoomBlocksUntilThereIsSome) {
  Start({.max_messages = 1});
  producer_->Send("t", "first");
  std::atomic<bool> sent{false};
  std::thread sender([&] {
    producer_->Send("t", "second", {.wait_for_room = true});
    sent = true;
  });
  EXPECT_FALSE(sent);
  broker_.TakeKept()[0]->Complete(Receipt{});
  sender.join();
  EXPECT_EQ(broker_.TakeKept().at(0)->message().payload, "second");
}

TEST_F(ProducerTest, WaitForRoomWithManySendersLosesNone) {
  Start({.max_messages = 3});
  std::atomic<bool> done{false};
  std::atomic<int> published{0};
  std::thread driver([&] {
    while (!done || producer_->pending() > 0) {
      for (const OutgoingPtr& message : broker_.TakeKept()) {
        ++published;
        message->Complete(Receipt{});
      }
    }
  });
  std::vector<std::thread> senders;
  for (int t = 0; t < 4; ++t) {
    senders.emplace_back([&] {
      for (int i = 0; i < 500; ++i) producer_->Send("t", "x", {.wait_for_room = true});
    });
  }
  for (std::thread& sender : senders) sender.join();
  done = true;
  driver.join();
  EXPECT_EQ(published, 2000);
  EXPECT_EQ(observer_.refused, 0);
}

TEST_F(ProducerTest, WaitForRoomEndsAtTheDeadlineAsARefusal) {
  Start({.max_messages = 1});
  producer_->Send("t", "first");
  const absl::Status status =
      producer_->Send("t", "second", {.deadline = absl::Milliseconds(5), .wait_for_room = true}).Wait().status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
}

TEST_F(ProducerTest, NeverAnsweredItIsUnknownAtItsDeadlineAndALateAnswerDoesNothing) {
  absl::Notification resolved;
  absl::Status status;
  // Behind a long one, so that the timer sleeps for another deadline.
  producer_->Send("t", "long", {.deadline = absl::Hours(1)});
  producer_->Send("t", "short", {.deadline = absl::Milliseconds(5)}).Then([&](const absl::StatusOr<Receipt>& result) {
    status = result.status();
    resolved.Notify();
  });
  resolved.WaitForNotification();
  EXPECT_TRUE(IsUnknownOutcome(status)) << status;
  EXPECT_EQ(producer_->pending(), 1u);
  const std::vector<OutgoingPtr> kept = broker_.TakeKept();
  kept[1]->Complete(Receipt{});
  EXPECT_TRUE(IsUnknownOutcome(kept[1]->result().status()));
  EXPECT_EQ(observer_.unknown, 1);
  EXPECT_EQ(observer_.accepted, 0);
  kept[0]->Complete(Receipt{});
  EXPECT_EQ(producer_->pending(), 0u);
}

TEST_F(ProducerTest, DeadlinesOutOfOrderAllFire) {
  std::atomic<int> left{300};
  absl::Notification done;
  for (int i = 0; i < 300; ++i) {
    producer_->Send("t", "x", {.deadline = absl::Milliseconds(1 + (i * 37) % 50)}).Then([&](const auto& result) {
      EXPECT_TRUE(IsUnknownOutcome(result.status()));
      if (--left == 0) done.Notify();
    });
  }
  done.WaitForNotification();
  EXPECT_EQ(producer_->pending(), 0u);
}

TEST_F(ProducerTest, DriverThatDropsAMessageMakesItUnknownAtOnce) {
  broker_.AnswerWith([](const OutgoingPtr&) {});
  absl::Notification called;
  producer_->Send("t", "x").Then([&](const absl::StatusOr<Receipt>& result) {
    EXPECT_TRUE(IsUnknownOutcome(result.status()));
    called.Notify();
  });
  called.WaitForNotification();
  EXPECT_EQ(producer_->pending(), 0u);
}

TEST_F(ProducerTest, ThenRunsOnOneThreadWhichIsNeitherSenderNorDriver) {
  std::set<std::thread::id> threads;
  absl::Notification done;
  int calls = 0;
  auto callback = [&](const absl::StatusOr<Receipt>&) {
    threads.insert(std::this_thread::get_id());
    if (++calls == 20) done.Notify();
  };
  for (int i = 0; i < 10; ++i) producer_->Send("t", "x").Then(callback);
  std::thread driver([&] {
    for (const OutgoingPtr& message : broker_.TakeKept()) message->Complete(Receipt{});
  });
  const std::thread::id driver_id = driver.get_id();
  driver.join();
  broker_.AcceptAll();
  for (int i = 0; i < 10; ++i) producer_->Send("t", "x").Then(callback);  // Resolved already.
  done.WaitForNotification();
  EXPECT_EQ(threads.size(), 1u);
  EXPECT_EQ(threads.count(std::this_thread::get_id()), 0u);
  EXPECT_EQ(threads.count(driver_id), 0u);
}

TEST_F(ProducerTest, ThenMaySendAndThenAgainButNotWait) {
  broker_.AcceptAll();
  absl::Notification done;
  absl::Status waited;
  producer_->Send("t", "1").Then([&](const absl::StatusOr<Receipt>&) {
    const Confirmation second = producer_->Send("t", "2");
    waited = second.Wait().status();
    second.Then([&](const absl::StatusOr<Receipt>& result) {
      EXPECT_TRUE(result.ok());
      done.Notify();
    });
    EXPECT_FALSE(done.HasBeenNotified());  // Never within another.
  });
  done.WaitForNotification();
  EXPECT_TRUE(absl::IsFailedPrecondition(waited)) << waited;
}

TEST_F(ProducerTest, FlushWaitsForWhatWasSentBefore) {
  producer_->Send("t", "1");
  producer_->Send("t", "2");
  const absl::Status early = producer_->Flush(absl::Milliseconds(1));
  EXPECT_TRUE(absl::IsDeadlineExceeded(early));
  EXPECT_THAT(early.message(), HasSubstr("2 message"));
  std::thread driver([&] {
    for (const OutgoingPtr& message : broker_.TakeKept()) message->Complete(absl::NotFoundError("x"));
  });
  EXPECT_TRUE(producer_->Flush(absl::InfiniteDuration()).ok());
  driver.join();
  EXPECT_EQ(producer_->pending(), 0u);
}

TEST_F(ProducerTest, DestructionWaitsForAnswersThenResolvesTheRestAsUnknown) {
  const Confirmation answered = producer_->Send("t", "1");
  const Confirmation open = producer_->Send("t", "2");
  std::atomic<bool> called{false};
  open.Then([&](const absl::StatusOr<Receipt>&) { called = true; });
  std::vector<OutgoingPtr> kept = broker_.TakeKept();
  std::thread driver([&] { kept[0]->Complete(Receipt{}); });
  producer_ = nullptr;
  driver.join();
  EXPECT_TRUE(called);
  EXPECT_TRUE(answered.Wait().ok());
  EXPECT_TRUE(IsUnknownOutcome(open.Wait().status()));
  kept[1]->Complete(Receipt{});  // The driver's answer comes too late.
  EXPECT_TRUE(IsUnknownOutcome(open.Wait().status()));
  // Callbacks asked for now run at once.
  bool late = false;
  open.Then([&](const absl::StatusOr<Receipt>&) { late = true; });
  EXPECT_TRUE(late);
}

TEST_F(ProducerTest, ProducerMayBeDestroyedInItsOwnCallback) {
  broker_.AcceptAll();
  absl::Notification done;
  producer_->Send("t", "x").Then([&](const absl::StatusOr<Receipt>&) {
    producer_ = nullptr;
    done.Notify();
  });
  done.WaitForNotification();
}

TEST_F(ProducerTest, FailuresThatNobodyLookedAtAreCountedAndLoggedOnce) {
  for (int i = 0; i < 50; ++i) producer_->Send("bad topic", "x");
  EXPECT_EQ(observer_.unseen, 50);
  EXPECT_EQ(lines().size(), 1u);
  producer_ = nullptr;
  ASSERT_EQ(lines().size(), 2u);
  EXPECT_THAT(lines()[0], HasSubstr("1 failed send"));
  EXPECT_THAT(lines()[0], HasSubstr("bad topic"));
  EXPECT_THAT(lines()[1], HasSubstr("49 more"));
}

TEST_F(ProducerTest, ObserverCountsEachSendOnce) {
  broker_.AnswerWith([](const OutgoingPtr& message) {
    message->Complete(Receipt{});
    message->Complete(absl::InternalError("twice"));
  });
  EXPECT_TRUE(producer_->Send("t", "x").Wait().ok());
  EXPECT_FALSE(producer_->Send("", "x").Wait().ok());
  EXPECT_EQ(observer_.sent, 2);
  EXPECT_EQ(observer_.accepted, 1);
  EXPECT_EQ(observer_.refused, 1);
  EXPECT_EQ(observer_.unknown, 0);
  EXPECT_EQ(observer_.negative_latencies, 0);
}

TEST_F(ProducerTest, ManyResolvedSendsLeaveNoMessageBehind) {
  // Freed when resolved and dropped, though their deadlines are far away.
  std::weak_ptr<Outgoing> last;
  broker_.AnswerWith([&](const OutgoingPtr& message) {
    EXPECT_TRUE(last.expired());
    last = message;
    message->Complete(Receipt{});
  });
  for (int i = 0; i < 5'000; ++i) producer_->Send("t", "x");
  EXPECT_TRUE(last.expired());
}

TEST(ProducerWithoutBroker, RefusesEverySendWithTheReason) {
  Producer producer(absl::NotFoundError("no broker is linked"));
  EXPECT_EQ(producer.Send("t", "x").Wait().status(), absl::NotFoundError("no broker is linked"));
  EXPECT_EQ(producer.pending(), 0u);
  EXPECT_TRUE(producer.Flush(absl::ZeroDuration()).ok());
}

TEST(ProducerWithoutBroker, ReasonNeverLooksLikeAnUnknownOutcome) {
  Producer producer(absl::DeadlineExceededError("config server"));
  const absl::Status status = producer.Send("t", "x").Wait().status();
  EXPECT_FALSE(IsUnknownOutcome(status));
  EXPECT_THAT(status.message(), HasSubstr("config server"));
}

TEST_F(ProducerTest, AConfirmationThatIsKeptKeepsNoPayload) {
  const Confirmation confirmation = producer_->Send("t", std::string(1000, 'x'), {.headers = {{"a", "b"}}, .id = "i"});
  std::vector<OutgoingPtr> kept = broker_.TakeKept();
  ASSERT_EQ(kept.size(), 1u);
  const Message& message = kept[0]->message();
  kept[0]->Complete(Receipt{});
  EXPECT_EQ(message.payload.size(), 1000u) << "the driver may still look at it";
  kept.clear();
  EXPECT_EQ(message.payload.capacity(), std::string().capacity());
  EXPECT_TRUE(message.headers.empty());
  EXPECT_EQ(confirmation.id(), "i");
  EXPECT_EQ(confirmation.Wait()->id, "i");
}

TEST_F(ProducerTest, WhatADriverDropsIsUnknownAtOnce) {
  const Confirmation confirmation = producer_->Send("t", "x");
  broker_.TakeKept().clear();
  EXPECT_TRUE(confirmation.resolved());
  EXPECT_TRUE(IsUnknownOutcome(confirmation.Wait().status()));
}

TEST_F(ProducerTest, CallbacksThatDoNotKeepUpFillTheSendBuffer) {
  Start({.max_messages = 10});
  broker_.AcceptAll();
  absl::Notification release;
  std::atomic<int> called = 0;
  int refused = 0;
  for (int i = 0; i < 50; ++i) {
    const Confirmation confirmation = producer_->Send("t", "x");
    if (confirmation.resolved() && absl::IsResourceExhausted(confirmation.Wait(absl::ZeroDuration()).status())) {
      ++refused;
      continue;
    }
    confirmation.Then([&](const absl::StatusOr<Receipt>&) {
      release.WaitForNotification();
      // One that sends does not wait for itself.
      if (++called > 1) return;
      EXPECT_TRUE(producer_->Send("t", "y", {.wait_for_room = true}).resolved());
    });
  }
  EXPECT_EQ(refused, 40);
  std::thread waits([&] { EXPECT_TRUE(producer_->Send("t", "z", {.wait_for_room = true}).Wait().ok()); });
  release.Notify();
  waits.join();
  while (called < 10) absl::SleepFor(absl::Milliseconds(1));
}

}  // namespace
}  // namespace messaging
