#include "messaging/internal/send_deadlines.h"

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/broker/clock.h"
#include "messaging/outgoing.h"

namespace messaging::internal {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// The producer's part: forgets what is resolved.
class Forgetful : public OutgoingObserver {
 public:
  void OnResolved(Outgoing&) override {}
  void AfterResolved(Outgoing& outgoing) override { deadlines.Forget(outgoing); }
  void Post(std::function<void()> task) override { task(); }
  void OnUnseen(const Outgoing&) override {}

  SendDeadlines deadlines;
};

class SendDeadlinesTest : public testing::Test {
 protected:
  // As the producer does: else the last message to go, on the watching thread, would end that thread by itself.
  ~SendDeadlinesTest() override { deadlines_.Stop(); }

  OutgoingPtr Track(absl::Duration until) {
    auto send = std::make_shared<Outgoing>(Message{.topic = "t"}, Clock::Steady().Now() + until, observer_);
    deadlines_.Track(*send);
    return send;
  }

  std::shared_ptr<Forgetful> observer_ = std::make_shared<Forgetful>();
  SendDeadlines& deadlines_ = observer_->deadlines;
};

TEST_F(SendDeadlinesTest, OpenAreThoseWithoutAnAnswerInTheOrderOfTheirDeadlines) {
  const OutgoingPtr never = Track(absl::InfiniteDuration());
  const OutgoingPtr late = Track(absl::Hours(2));
  const OutgoingPtr soon = Track(absl::Hours(1));
  EXPECT_THAT(deadlines_.Open(), ElementsAre(soon, late, never));
  late->Complete(Receipt{});
  EXPECT_THAT(deadlines_.Open(), ElementsAre(soon, never));
  soon->Complete(absl::UnavailableError("refused"));
  never->Complete(Receipt{});
  EXPECT_THAT(deadlines_.Open(), IsEmpty());
}

TEST_F(SendDeadlinesTest, WhatIsDueIsUnknownAndWhatIsNotStays) {
  const OutgoingPtr late = Track(absl::Hours(1));
  std::vector<OutgoingPtr> due;
  for (int i = 5; i > 0; --i) due.push_back(Track(i * absl::Milliseconds(40)));  // Each before all others.
  for (const OutgoingPtr& send : due) {
    ASSERT_TRUE(send->WaitUntil(Clock::Steady().Now() + absl::Minutes(1)));
    EXPECT_GE(Clock::Steady().Now(), send->deadline());
    EXPECT_EQ(send->result().status().code(), absl::StatusCode::kDeadlineExceeded);
  }
  EXPECT_FALSE(late->resolved());
  EXPECT_THAT(deadlines_.Open(), ElementsAre(late));
}

TEST_F(SendDeadlinesTest, AMessageIsFreedAtOnceThoughItsDeadlineIsFar) {
  OutgoingPtr send = Track(absl::Hours(1));
  const std::weak_ptr<Outgoing> gone = send;
  send = nullptr;  // Nobody answered it.
  EXPECT_TRUE(gone.expired());
  EXPECT_THAT(deadlines_.Open(), IsEmpty());
}

TEST_F(SendDeadlinesTest, WhatIsTrackedAfterStopIsNotWatched) {
  deadlines_.Stop();
  const OutgoingPtr send = Track(absl::Hours(1));
  EXPECT_THAT(deadlines_.Open(), IsEmpty());
  send->Complete(Receipt{});
}

// Sends that are tracked, answered, overdue and freed at the same time as somebody asks which are open.
TEST_F(SendDeadlinesTest, ThreadsMeet) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5000; ++i) {
        OutgoingPtr send = Track(i % 3 == t ? absl::ZeroDuration() : absl::Milliseconds(i % 200));
        if (i % 5 != 0) send->Complete(Receipt{});
      }
    });
  }
  std::thread asks([&] {
    while (!stop.load()) {
      for (const OutgoingPtr& send : deadlines_.Open()) EXPECT_EQ(send->message().topic, "t");
    }
  });
  for (std::thread& thread : threads) thread.join();
  stop = true;
  asks.join();
  EXPECT_THAT(deadlines_.Open(), IsEmpty());
}

}  // namespace
}  // namespace messaging::internal
