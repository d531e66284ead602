#include "cli/tally.h"

#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

TEST(Tally, CountsTheThreeOutcomes) {
  Tally tally;
  tally.Add(1, absl::OkStatus());
  tally.Add(2, absl::ResourceExhaustedError("full"));
  tally.Add(3, absl::DeadlineExceededError("late"));
  EXPECT_EQ(tally.counts().accepted, 1);
  EXPECT_EQ(tally.counts().refused, 1);
  EXPECT_EQ(tally.counts().unknown, 1);
  EXPECT_EQ(tally.counts().resolved(), 3);
  EXPECT_THAT(tally.Failures(), ElementsAre("line 3 not known to be stored: late", "line 2 refused: full"));
}

TEST(Tally, JoinsLinesThatFailedAlikeInWhateverOrder) {
  Tally tally;
  for (int64_t line : {5, 6, 9, 7, 12, 8, 1}) tally.Add(line, absl::ResourceExhaustedError("full"));
  EXPECT_THAT(tally.Failures(), ElementsAre("lines 1, 5-9, 12 refused: full"));
}

TEST(Tally, AllAcceptedHasNoFailures) {
  Tally tally;
  tally.Add(1, absl::OkStatus());
  EXPECT_THAT(tally.Failures(), IsEmpty());
}

TEST(Tally, ReasonsThatDifferWithEachMessageStayFew) {
  Tally tally;
  for (int64_t line = 1; line <= 1000; ++line) tally.Add(line, absl::InternalError(std::to_string(line)));
  EXPECT_THAT(tally.Failures(), SizeIs(101));
  EXPECT_THAT(tally.Failures()[0], StartsWith("lines 101-1000 refused"));
}

TEST(Tally, AwaitsWhatOtherThreadsAdd) {
  Tally tally;
  std::thread adder([&tally] {
    for (int64_t line = 1; line <= 1000; ++line) tally.Add(line, absl::OkStatus());
  });
  EXPECT_TRUE(tally.AwaitResolved(1000, absl::Minutes(1)));
  adder.join();
  EXPECT_FALSE(tally.AwaitResolved(1001, absl::Milliseconds(1)));
}

TEST(Tally, HasRoomForHalfTheSendBufferAndForOneOfAnySize) {
  constexpr int64_t kMiB = 1 << 20;
  const auto room = [](const Tally& tally, int64_t count, int64_t bytes, int64_t next) {
    return tally.AwaitRoom(count, bytes, next, absl::ZeroDuration());
  };
  Tally tally;
  EXPECT_TRUE(room(tally, 0, 0, 60 * kMiB));
  EXPECT_TRUE(room(tally, 49'999, 0, 1));
  EXPECT_FALSE(room(tally, 50'000, 0, 1));
  EXPECT_TRUE(room(tally, 2, 31 * kMiB, kMiB));
  EXPECT_FALSE(room(tally, 2, 31 * kMiB, kMiB + 1));
  tally.Add(1, absl::OkStatus(), 30 * kMiB);
  EXPECT_TRUE(room(tally, 2, 31 * kMiB, 31 * kMiB));
  EXPECT_TRUE(room(tally, 50'000, 31 * kMiB, 1));
  tally.Add(2, absl::InternalError("refused"), kMiB);
  EXPECT_TRUE(room(tally, 2, 31 * kMiB, 60 * kMiB));
}

TEST(Tally, AwaitsRoomThatOtherThreadsMake) {
  Tally tally;
  std::thread adder([&tally] { tally.Add(1, absl::OkStatus(), 32 << 20); });
  EXPECT_TRUE(tally.AwaitRoom(1, 32 << 20, 1, absl::Minutes(1)));
  adder.join();
}

}  // namespace
}  // namespace messaging::cli
