// The dispatcher's own part, threads and calls, over the memory broker in real time.
#include "messaging/dispatch/dispatcher.h"

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "memory/memory_broker.h"
#include "messaging/handler.h"
#include "messaging/log.h"
#include "messaging/observer.h"
#include "messaging/provide.h"

namespace messaging {
namespace {

constexpr absl::Duration kSoon = absl::Seconds(60);  // Only failing tests wait so long.

// What the observer is told of attempts.
class Outcomes : public Observer {
 public:
  void OnHandled(std::string_view, std::string_view, const Handled& attempts) override {
    absl::MutexLock lock(&mutex_);
    all_.insert(all_.end(), attempts.timestamps.size(), attempts.status);
  }
  std::vector<absl::Status> all() {
    absl::MutexLock lock(&mutex_);
    return all_;
  }

 private:
  absl::Mutex mutex_;
  std::vector<absl::Status> all_ ABSL_GUARDED_BY(mutex_);
};

// A transaction that cannot be committed.
struct Doomed {
  absl::Status Commit() { return absl::AbortedError("serialization"); }
  void Rollback() {}
};

class DispatcherTest : public testing::Test {
 protected:
  template <typename Function>
  void Start(Function function, HandlerOptions options = {}) {
    options.topics = {"t"};
    dispatcher_.emplace(broker_, producer_, providers_,
                        std::vector<Handler>{MakeHandler("Handler", std::move(function), std::move(options))},
                        DispatcherOptions{.group = "g", .concurrency = 4, .observer = &outcomes_});
    ASSERT_EQ(dispatcher_->Start(), absl::OkStatus());
  }
  void Send(const std::string& key, const std::string& payload) { producer_.Send("t", payload, {.key = key}); }
  void AwaitHandled(int count) {
    absl::MutexLock lock(&mutex_);
    auto reached = [this, count] { return handled_ >= count; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&reached), kSoon)) << handled_ << " of " << count;
  }
  void CountHandled() {
    absl::MutexLock lock(&mutex_);
    ++handled_;
  }
  std::vector<DeadLetter> Dead() {
    std::vector<DeadLetter> all;
    EXPECT_EQ(broker_.dead_letters().List({},
                                          [&](const DeadLetter& letter) {
                                            all.push_back(letter);
                                            return true;
                                          }),
              absl::OkStatus());
    return all;
  }

  void AwaitSettled() {
    while (dispatcher_->in_flight() > 0) absl::SleepFor(absl::Milliseconds(1));
  }

  Outcomes outcomes_;
  MemoryBroker broker_;
  Producer producer_{&broker_, {}, nullptr};
  Providers providers_;
  absl::Mutex mutex_;
  int handled_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<Dispatcher> dispatcher_;  // Before all that it uses.
};

TEST_F(DispatcherTest, ACallThatHangsKeepsOnlyItsOwnKeyWaiting) {
  absl::Notification release;
  Start([&](std::string_view payload) {
    if (payload == "hang") release.WaitForNotification();
    CountHandled();
    return absl::OkStatus();
  });
  for (int i = 0; i < 2'000; ++i) Send(absl::StrCat(i), "quick");  // The engine learns that its calls are quick.
  AwaitHandled(2'000);
  for (int i = 0; i < 500; ++i) Send(absl::StrCat(i), i == 250 ? "hang" : "quick");
  for (int i = 0; i < 500; ++i) Send(absl::StrCat(i), "quick");
  AwaitHandled(2'000 + 998);
  release.Notify();
  AwaitHandled(3'000);
  EXPECT_EQ(dispatcher_->Stop(), absl::OkStatus());
}

TEST_F(DispatcherTest, AnAsynchronousCallThatHangsKeepsOnlyItsOwnKeyWaiting) {
  absl::Mutex mutex;
  std::vector<Completion> hanging;
  Start([&](std::string_view payload, Completion done) {
    CountHandled();
    if (payload == "quick") return done(absl::OkStatus());
    absl::MutexLock lock(&mutex);
    hanging.push_back(std::move(done));
  });
  Send("a", "hang");
  AwaitHandled(1);
  for (int i = 0; i < 300; ++i) Send(absl::StrCat(i), "quick");
  Send("a", "quick");
  AwaitHandled(301);
  {
    absl::MutexLock lock(&mutex);
    hanging.clear();  // A failed attempt.
  }
  AwaitHandled(302);
  EXPECT_EQ(dispatcher_->Stop(), absl::OkStatus());
}

TEST_F(DispatcherTest, WhatAnAsynchronousHandlerThrowsIsTheReason) {
  Start(
      [&](std::string_view, Completion) {
        CountHandled();
        throw std::runtime_error("no such table");
      },
      {.max_retries = 0});
  Send("a", "x");
  AwaitHandled(1);
  while (dispatcher_->in_flight() > 0) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_EQ(dispatcher_->Stop(), absl::OkStatus());
  ASSERT_EQ(Dead().size(), 1u);
  EXPECT_EQ(Dead()[0].failure.status, absl::UnknownError("the handler threw: no such table"));
}

TEST_F(DispatcherTest, ACompletionThatWasGivenAwayDecidesThoughTheHandlerThrew) {
  absl::Mutex mutex;
  std::vector<Completion> kept;
  Start(
      [&](std::string_view, Completion done) {
        absl::MutexLock lock(&mutex);
        kept.push_back(std::move(done));
        CountHandled();
        throw std::runtime_error("afterwards");
      },
      {.max_retries = 0});
  Send("a", "x");
  AwaitHandled(1);
  {
    absl::MutexLock lock(&mutex);
    kept[0](absl::OkStatus());
  }
  while (dispatcher_->in_flight() > 0) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_EQ(dispatcher_->Stop(), absl::OkStatus());
  EXPECT_TRUE(Dead().empty());
}

TEST_F(DispatcherTest, StopAndQuestionsMayComeWhileItStarts) {
  for (int round = 0; round < 30; ++round) {
    dispatcher_.emplace(broker_, producer_, providers_,
                        std::vector<Handler>{MakeHandler("Handler", [](std::string_view) { return absl::OkStatus(); },
                                                         {.topics = {"t"}})},
                        DispatcherOptions{.group = "g", .concurrency = 2});
    std::atomic<bool> started = false;
    std::thread other([&] {
      while (!started) {
        (void)dispatcher_->Backlog();
        (void)dispatcher_->progress();
        EXPECT_EQ(dispatcher_->Stop(), absl::OkStatus());
      }
    });
    (void)dispatcher_->Start();
    started = true;
    other.join();
    EXPECT_EQ(dispatcher_->Stop(), absl::OkStatus());
  }
}

TEST_F(DispatcherTest, ALogSinkMayAskTheDispatcher) {
  std::atomic<int> lines = 0;
  SetLogSink([&](Severity, std::string_view) {
    (void)dispatcher_->progress();  // No lock is held.
    ++lines;
  });
  broker_.FailNextSettlements(1, absl::UnavailableError("down"));
  Start([&](std::string_view) {
    CountHandled();
    return absl::OkStatus();
  });
  Send("a", "x");
  AwaitHandled(1);
  while (dispatcher_->in_flight() > 0) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_EQ(dispatcher_->Stop(), absl::OkStatus());
  SetLogSink(nullptr);
  EXPECT_EQ(lines, 2) << "that it fails, and that it does not any more";
}

TEST_F(DispatcherTest, TheObserverIsToldOfAnAttemptAfterItsCommit) {
  providers_.ProvidePerMessage<Doomed>([] { return std::make_unique<Doomed>(); });
  Start(
      [&](std::string_view, Doomed&) {
        CountHandled();
        return absl::OkStatus();
      },
      {.max_retries = 0});
  Send("a", "x");
  AwaitHandled(1);
  AwaitSettled();
  EXPECT_EQ(dispatcher_->Stop(), absl::OkStatus());
  EXPECT_EQ(outcomes_.all(),
            std::vector<absl::Status>{absl::AbortedError("committing messaging::Doomed: serialization")});
}

TEST_F(DispatcherTest, TheObserverIsToldOfEachAttemptOnce) {
  Start([&](std::string_view, Completion done) {
    CountHandled();
    done(absl::OkStatus());
  });
  for (int i = 0; i < 300; ++i) Send(absl::StrCat(i), "x");
  AwaitHandled(300);
  AwaitSettled();
  EXPECT_EQ(dispatcher_->Stop(), absl::OkStatus());
  EXPECT_EQ(outcomes_.all(), std::vector<absl::Status>(300));
}

TEST_F(DispatcherTest, QuickCallsAreToldOfWhenNoMoreCome) {
  Start([&](std::string_view) {
    CountHandled();
    return absl::OkStatus();
  });
  for (int i = 0; i < 5'000; ++i) Send(absl::StrCat(i), "x");
  AwaitHandled(5'000);
  AwaitSettled();
  EXPECT_EQ(dispatcher_->Stop(), absl::OkStatus());
  EXPECT_EQ(outcomes_.all(), std::vector<absl::Status>(5'000));
}

}  // namespace
}  // namespace messaging
