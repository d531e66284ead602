// The wall clock is set, the machine sleeps or is started again: delays are kept, neither cut short nor drawn out.
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/broker/testing/fake_sink.h"
#include "messaging/outgoing.h"
#include "sqlite/database.h"
#include "sqlite/file_clock.h"
#include "sqlite/sqlite_broker.h"

namespace messaging {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr absl::Duration kLimit = absl::Seconds(20);
constexpr absl::Duration kDelay = absl::Seconds(100);

// Stands still; a test moves it.
class Machine : public sqlite::MachineClock {
 public:
  std::string boot() const override { return Get(boot_); }
  absl::Duration since_boot() const override { return Get(since_boot_); }
  absl::Time wall() const override { return Get(wall_); }

  void Pass(absl::Duration time) {
    absl::MutexLock lock(&mutex_);
    since_boot_ += time;
    wall_ += time;
  }
  void SetWall(absl::Duration by) {
    absl::MutexLock lock(&mutex_);
    wall_ += by;
  }
  void StartAgain(absl::Duration later) {
    absl::MutexLock lock(&mutex_);
    boot_ += "'";
    since_boot_ = absl::Seconds(3);
    wall_ += later;
  }

 private:
  template <typename T>
  T Get(const T& value) const {
    absl::MutexLock lock(&mutex_);
    return value;
  }

  mutable absl::Mutex mutex_;
  std::string boot_ = "first";
  absl::Duration since_boot_ = absl::Hours(5);
  absl::Time wall_ = absl::FromUnixSeconds(1'800'000'000);
};

class ClockJumps : public testing::Test {
 protected:
  ClockJumps() : path_(absl::StrCat(testing::TempDir(), "/clock_jumps_test.", getpid(), ".", ++number, ".db")) {
    for (const char* suffix : {"", "-wal", "-shm", "-lock", "-wake"}) std::remove((path_ + suffix).c_str());
  }
  // A process that opens the file.
  std::unique_ptr<Broker> Open(absl::Duration retention = absl::Hours(168)) {
    auto broker = MakeSqliteBroker({.path = path_, .retention = retention, .machine = &machine_});
    EXPECT_TRUE(broker.ok()) << broker.status();
    return *std::move(broker);
  }
  // Sends one, takes it, and has it retried after kDelay.
  void Fail(Broker& broker) {
    auto outgoing =
        std::make_shared<Outgoing>(Message{.topic = "t", .payload = "x", .id = "id"}, absl::Now() + kLimit, nullptr);
    broker.Publish(outgoing);
    ASSERT_TRUE(outgoing->WaitUntil(absl::Now() + kLimit) && outgoing->result().ok());
    FakeSink sink;
    auto subscription = *broker.Subscribe({.group = "g", .topics = {{.topic = "t"}}, .member = "m"}, &sink);
    ASSERT_TRUE(subscription->Start().ok());
    ASSERT_TRUE(sink.WaitForDeliveries(1, kLimit));
    std::vector<Settlement> verdicts;
    verdicts.push_back(sink.TakeFirst().RetryAfter(
        kDelay, {.handler = "h", .status = absl::UnavailableError("no"), .attempts = 1, .first = machine_.wall()}));
    subscription->Settle(std::move(verdicts));
    ASSERT_TRUE(sink.WaitForAnswers(1, kLimit));
    EXPECT_TRUE(sink.TakeAnswers()[0].status.ok());
    EXPECT_TRUE(subscription->Close(absl::Now() + kLimit).ok());
  }
  // When the retry is due, from now; the infinite past: it may be had.
  absl::Duration Wait(Broker& broker) {
    const auto lags = broker.admin().Lag("t", "g");
    EXPECT_TRUE(lags.ok());
    EXPECT_THAT(*lags, SizeIs(1));
    EXPECT_TRUE((*lags)[0].next_retry.has_value());
    return (*lags)[0].next_retry.value_or(absl::InfiniteFuture()) - machine_.wall();
  }
  bool Comes(Broker& broker) {
    FakeSink sink;
    auto subscription = *broker.Subscribe({.group = "g", .topics = {{.topic = "t"}}, .member = "m"}, &sink);
    EXPECT_TRUE(subscription->Start().ok());
    const bool comes = sink.WaitForDeliveries(1, kLimit);
    subscription->StopFetching();
    for (Delivery& delivery : sink.TakeAll()) delivery = Delivery();
    EXPECT_TRUE(subscription->Close(absl::Now() + kLimit).ok());
    return comes;
  }
  static inline int number = 0;
  const std::string path_;
  Machine machine_;
};

TEST_F(ClockJumps, TheWallClockIsSetBackAndAnotherProcessHasTheRetry) {
  auto first = Open();
  Fail(*first);
  machine_.SetWall(-absl::Hours(1));
  auto second = Open();
  EXPECT_EQ(Wait(*second), kDelay);
  first.reset();
  machine_.Pass(kDelay);
  EXPECT_EQ(Wait(*second), absl::ZeroDuration());
  EXPECT_TRUE(Comes(*second));
}

TEST_F(ClockJumps, TheWallClockIsSetForwardAndNoDelayIsCutShort) {
  auto first = Open();
  Fail(*first);
  machine_.SetWall(absl::Hours(1));
  auto second = Open();
  EXPECT_EQ(Wait(*first), kDelay);
  EXPECT_EQ(Wait(*second), kDelay);
}

TEST_F(ClockJumps, SleepCounts) {
  auto broker = Open();
  Fail(*broker);
  machine_.Pass(absl::Hours(8));
  auto second = Open();
  for (Broker* each : {broker.get(), second.get()}) EXPECT_EQ(Wait(*each), kDelay - absl::Hours(8));
  EXPECT_TRUE(Comes(*broker));
}

TEST_F(ClockJumps, AStartOfTheMachineCounts) {
  Fail(*Open());
  machine_.StartAgain(absl::Seconds(40));
  EXPECT_EQ(Wait(*Open()), kDelay - absl::Seconds(40));
}

TEST_F(ClockJumps, AfterAStartWithAnEarlierWallClockTheDelayIsKeptAndNotDrawnOut) {
  Fail(*Open());
  machine_.StartAgain(-absl::Hours(24 * 365 * 30));
  auto broker = Open();
  EXPECT_EQ(Wait(*broker), kDelay);
  machine_.SetWall(absl::Hours(24 * 365 * 30));  // It has asked somebody for the time.
  EXPECT_EQ(Wait(*broker), kDelay);
  EXPECT_EQ(Wait(*Open()), kDelay);
  machine_.Pass(kDelay);
  EXPECT_TRUE(Comes(*broker));
}

TEST_F(ClockJumps, WhatPeopleSeeIsInTheWallClocksTime) {
  auto broker = Open();
  Fail(*broker);
  ASSERT_TRUE(broker->dead_letters()
                  .Import({.group = "g",
                           .message = {.topic = "t", .payload = "x", .id = "id"},
                           .failure = {.handler = "h", .status = absl::UnknownError("no"), .attempts = 1},
                           .dead_since = machine_.wall()})
                  .ok());
  machine_.Pass(absl::Minutes(30));
  machine_.SetWall(-absl::Hours(1));
  std::vector<absl::Duration> ages;
  const auto list = [&](absl::Duration since) {
    ages.clear();
    EXPECT_TRUE(broker->dead_letters()
                    .List({.since = machine_.wall() - since},
                          [&](const DeadLetter& letter) {
                            ages.push_back(machine_.wall() - letter.dead_since);
                            return true;
                          })
                    .ok());
    return ages;
  };
  EXPECT_THAT(list(absl::Minutes(31)), ElementsAre(absl::Minutes(30)));
  EXPECT_THAT(list(absl::Minutes(29)), SizeIs(0));
}

TEST_F(ClockJumps, AFileOfBeforeGoesOnInTheWallClocksTime) {
  Fail(*Open());
  {
    auto database = sqlite::Database::Open(path_, true, kLimit);
    ASSERT_TRUE(database.ok() && (*database)->Execute("DROP TABLE clock").ok());
  }
  machine_.Pass(absl::Seconds(1));
  EXPECT_EQ(Wait(*Open()), kDelay - absl::Seconds(1));
}

TEST(MachineClock, KnowsThisMachine) {
  const sqlite::MachineClock& own = sqlite::MachineClock::Own();
  EXPECT_FALSE(own.boot().empty());
  EXPECT_EQ(own.boot(), own.boot());
  const absl::Duration before = own.since_boot();
  absl::SleepFor(absl::Milliseconds(1));
  EXPECT_GE(own.since_boot() - before, absl::Milliseconds(1));
  EXPECT_LT(absl::AbsDuration(own.wall() - absl::Now()), absl::Hours(1));
}

}  // namespace
}  // namespace messaging
