#include "kafka/commit_schedule.h"

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace messaging::kafka {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'000'000);

TEST(CommitScheduleTest, ByIntervalAndAtOnceForWhoWaits) {
  CommitSchedule schedule(absl::Seconds(5));
  EXPECT_LE(schedule.Due(/*somebody_waits=*/false), kNow) << "the first";
  schedule.OnAsked(kNow);
  EXPECT_EQ(schedule.Due(/*somebody_waits=*/false), kNow + absl::Seconds(5));
  EXPECT_LE(schedule.Due(/*somebody_waits=*/true), kNow);
}

// Whatever the interval: shorter than the pause, or longer.
TEST(CommitScheduleTest, ARefusedOneIsAskedAgainAfterAPauseAndNotAtOnce) {
  for (const absl::Duration interval : {absl::Milliseconds(20), absl::Milliseconds(200), absl::Seconds(5)}) {
    CommitSchedule schedule(interval);
    for (absl::Time now = kNow; now < kNow + absl::Seconds(2); now += CommitSchedule::kPause) {
      schedule.OnAsked(now);
      schedule.OnRefused(now);
      for (const bool somebody_waits : {false, true}) {
        EXPECT_EQ(schedule.Due(somebody_waits), now + CommitSchedule::kPause) << interval;
      }
    }
    const absl::Time later = kNow + absl::Seconds(2);
    schedule.OnAsked(later);  // And it is stored.
    EXPECT_EQ(schedule.Due(/*somebody_waits=*/false), later + interval);
    EXPECT_LE(schedule.Due(/*somebody_waits=*/true), later);
  }
}

}  // namespace
}  // namespace messaging::kafka
