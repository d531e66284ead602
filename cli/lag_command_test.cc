#include "cli/lag_command.h"

#include "absl/time/civil_time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const absl::Time kNow = absl::FromCivil(absl::CivilSecond(2026, 1, 31, 12, 0, 0), absl::UTCTimeZone());

std::vector<GroupLag> Some() {
  return {{.topic = "orders",
           .group = "billing",
           .waiting = 12,
           .in_flight = 3,
           .retrying = 2,
           .dead = 0,
           .next_retry = kNow + absl::Milliseconds(4200),
           .oldest = kNow - absl::Seconds(192),
           .members = 1},
          {.topic = "orders",
           .group = "search",
           .partition = 1,
           .waiting = 5,
           .members = 0,
           .note = "no dead letters here"}};
}

TEST(LagTable, ShowsWhatIsKnown) {
  EXPECT_EQ(LagTable(Some(), kNow, Style(false)),
            "TOPIC   GROUP    PARTITION  WAITING  IN FLIGHT  RETRYING  NEXT RETRY  DEAD  OLDEST  MEMBERS  NOTE\n"
            "orders  billing  -          12       3          2         5s          0     3m12s   1\n"
            "orders  search   1          5        ?          ?         -           ?     -       0        no dead "
            "letters here\n");
}

TEST(LagTable, PaintsWhatIsWrong) {
  std::vector<GroupLag> lags = Some();
  lags[0].dead = 4;
  const std::string text = LagTable(lags, kNow, Style(true));
  EXPECT_THAT(text, HasSubstr("\x1b[31m4\x1b[0m"));  // Dead letters.
  EXPECT_THAT(text, HasSubstr("\x1b[33m2\x1b[0m"));  // Retries.
  EXPECT_THAT(text, HasSubstr("\x1b[31m5\x1b[0m"));  // What waits for nobody ...
  EXPECT_THAT(text, HasSubstr("\x1b[31m0\x1b[0m"));  // ... as nobody is there.
  EXPECT_THAT(text, Not(HasSubstr("\x1b[31m12\x1b[0m")));
}

TEST(LagJson, LeavesOutWhatIsNotKnown) {
  EXPECT_EQ(
      LagJson(Some(), kNow),
      R"({"time":"2026-01-31T12:00:00.000Z","topic":"orders","group":"billing","waiting":12,"in_flight":3,)"
      R"("retrying":2,"next_retry":"2026-01-31T12:00:04.200Z","dead":0,"oldest":"2026-01-31T11:56:48.000Z","members":1})"
      "\n"
      R"({"time":"2026-01-31T12:00:00.000Z","topic":"orders","group":"search","partition":1,"waiting":5,"members":0,)"
      R"("note":"no dead letters here"})"
      "\n");
}

}  // namespace
}  // namespace messaging::cli
