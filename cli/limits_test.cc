#include "cli/limits.h"

#include <atomic>
#include <thread>

#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

TEST(Limits, WithoutALimitAllIsHandled) {
  Limits limits(0, [] { FAIL(); });
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(limits.Begin([] { return false; }));
    limits.End(true);
  }
  EXPECT_FALSE(limits.reached());
}

TEST(Limits, NoMoreThanAskedForAreBegunWhateverFails) {
  std::atomic<int> reached{0};
  std::atomic<int> handled{0}, called{0};
  std::atomic<bool> draining{false};
  Limits limits(100, [&] {
    ++reached;
    draining = true;
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      while (limits.Begin([&] { return draining.load(); })) {
        const bool good = called++ % 3 != 0;
        handled += good ? 1 : 0;
        limits.End(good);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(handled, 100);
  EXPECT_EQ(reached, 1);
  EXPECT_TRUE(limits.reached());
  EXPECT_EQ(limits.done(), 100);
}

TEST(Limits, CountsWhatTheProgramsHandlersDo) {
  int reached = 0;
  Limits limits(2, [&] { ++reached; });
  const absl::Time once[1] = {};
  limits.OnHandled("h", "t", {absl::OkStatus(), {}, {}, once});
  EXPECT_EQ(limits.done(), 0) << "not asked to";
  limits.CountHandled();
  limits.OnHandled("h", "t", {absl::UnavailableError("later"), {}, {}, once});
  limits.OnHandled("h", "t", {absl::OkStatus(), {}, {}, once});
  EXPECT_EQ(reached, 0);
  limits.OnDeadLetter("h", "t", absl::InternalError("why"));
  limits.OnHandled("h", "t", {absl::OkStatus(), {}, {}, once});
  EXPECT_EQ(reached, 1);
}

TEST(Limits, KnowsWhenSomethingCame) {
  Limits limits(0, [] {});
  EXPECT_EQ(limits.last_activity(), absl::InfinitePast());
  const absl::Time now = absl::Now();
  limits.OnReceived("t", 1, 1);
  EXPECT_GE(limits.last_activity(), now);
  limits.Touch(absl::UnixEpoch());
  EXPECT_GE(limits.last_activity(), now);
}

}  // namespace
}  // namespace messaging::cli
