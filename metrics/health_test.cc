#include "metrics/health.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace messaging::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Progress Consuming(std::vector<HandlerProgress> handlers) {
  return {.phase = Progress::Phase::kConsuming, .messages = 3, .handlers = std::move(handlers)};
}

TEST(Live, ASlowHandlerIsAliveUntilItsTimeIsOver) {
  const Progress progress = Consuming({{.name = "Slow", .running = 1, .longest = absl::Minutes(5)}});
  EXPECT_TRUE(Live(progress, absl::Minutes(5)).ok());
  EXPECT_FALSE(Live(progress, absl::Minutes(5) - absl::Milliseconds(1)).ok());
}

TEST(Live, EachStuckHandlerIsNamedAndNoOther) {
  const absl::Status live = Live(Consuming({{.name = "A", .waiting = 7, .running = 1, .longest = absl::Seconds(400.6)},
                                            {.name = "Quick", .longest = absl::Seconds(1)},
                                            {.name = "B", .running = 1, .longest = absl::Hours(2)}}),
                                 absl::Minutes(5));
  EXPECT_THAT(live.message(), HasSubstr("handler A has not returned for 6m40s, and 7 more wait for it"));
  EXPECT_THAT(live.message(), HasSubstr("handler B has not returned for 2h"));
  EXPECT_THAT(live.message(), Not(HasSubstr("Quick")));
}

TEST(Live, ALostConnectionOrADrainIsNoReasonToBeKilled) {
  Progress progress = Consuming({});
  EXPECT_TRUE(Live(progress, absl::Minutes(5)).ok());
  progress.phase = Progress::Phase::kDraining;
  EXPECT_TRUE(Live(progress, absl::Minutes(5)).ok());
}

constexpr absl::Duration kStuckAfter = absl::Minutes(5);

Readiness ReadyOf(const Progress& progress) { return Ready(progress, absl::OkStatus(), kStuckAfter); }

TEST(Ready, EachPartSaysWhatIsMissingAndNoOtherDoes) {
  Progress progress = Consuming({});
  EXPECT_EQ(ReadyOf(progress).Missing(), "");
  EXPECT_TRUE(ReadyOf(progress).ok());
  EXPECT_EQ(Ready(progress, absl::UnavailableError("db:6379: refused"), kStuckAfter).Missing(),
            "connection: the broker does not answer: UNAVAILABLE: db:6379: refused\n");
  progress.phase = Progress::Phase::kNew;
  EXPECT_EQ(ReadyOf(progress).Missing(), "assignment: not joined yet\n");
  progress.phase = Progress::Phase::kDraining;
  EXPECT_EQ(ReadyOf(progress).Missing(), "drain: draining, 3 messages in hand\n");
  progress.phase = Progress::Phase::kEnded;
  EXPECT_EQ(ReadyOf(progress).Missing(), "drain: stopped\n");
  progress.phase = Progress::Phase::kFailed;
  progress.failure = absl::PermissionDeniedError("no rights");
  EXPECT_EQ(ReadyOf(progress).Missing(), "progress: the consumer has ended: PERMISSION_DENIED: no rights\n");
}

TEST(Ready, SeveralPartsAreALineEach) {
  Progress progress = Consuming({{.name = "A", .running = 1, .longest = absl::Hours(1)}});
  progress.assignments = {{.group = "shop", .missing = "connects again: gone"}};
  EXPECT_EQ(Ready(progress, absl::UnavailableError("gone"), kStuckAfter).Missing(),
            "progress: handler A has not returned for 1h, and 0 more wait for it\n"
            "connection: the broker does not answer: UNAVAILABLE: gone\n"
            "assignment: group shop: connects again: gone\n");
}

TEST(Ready, AStuckCallIsNoProgressAfterItsTime) {
  Progress progress = Consuming({{.name = "Slow", .running = 1, .longest = kStuckAfter}});
  EXPECT_TRUE(ReadyOf(progress).ok());
  progress.handlers[0].longest += absl::Seconds(1);
  EXPECT_EQ(ReadyOf(progress).progress, Live(progress, kStuckAfter));
  EXPECT_FALSE(ReadyOf(progress).ok());
}

TEST(Ready, SettlingThatIsRefusedForLongIsNoProgress) {
  Progress progress = Consuming({});
  progress.refused = 7;
  progress.refusing = kStuckAfter;
  EXPECT_TRUE(ReadyOf(progress).ok());
  progress.refusing = absl::Seconds(367.8);
  EXPECT_EQ(ReadyOf(progress).Missing(), "progress: 7 messages could not be settled for 6m7s\n");
  progress.refused = 0;
  EXPECT_TRUE(ReadyOf(progress).ok());
}

TEST(Ready, AGroupThatLetsNothingComeIsNamedAndOneThatHasNothingLeftIsReady) {
  Progress progress = Consuming({});
  progress.assignments = {{.group = "shop", .partitions = 3}, {.group = "mail"}};
  EXPECT_TRUE(ReadyOf(progress).ok());
  EXPECT_EQ(Idle(progress), "");
  progress.assignments[0].partitions = 0;  // More members than partitions: another may end at any time.
  EXPECT_TRUE(ReadyOf(progress).ok());
  EXPECT_EQ(Idle(progress), "group shop has no partition for it");
  progress.assignments[0].missing = "waits for 2 partitions that other members still have";
  progress.assignments[1].missing = "joins the queue q";
  EXPECT_EQ(ReadyOf(progress).Missing(),
            "assignment: group shop: waits for 2 partitions that other members still have; "
            "group mail: joins the queue q\n");
  progress.phase = Progress::Phase::kDraining;  // It gives back what it has.
  EXPECT_TRUE(ReadyOf(progress).assignment.ok());
}

TEST(Ready, SomethingPausedIsSaidAndEverythingPausedIsNotReady) {
  Progress progress = Consuming({{.name = "A", .topics = {"a", "b"}, .gate = Gate::kPaused},
                                 {.name = "B", .topics = {"a", "b"}, .paused_topics = {"a"}}});
  EXPECT_TRUE(ReadyOf(progress).ok());
  EXPECT_EQ(Idle(progress), "handler A is paused, topic a is paused");
  progress.handlers[1].paused_topics = {"a", "b"};
  EXPECT_EQ(ReadyOf(progress).Missing(),
            "progress: nothing is consumed: handler A is paused, topic a is paused, topic b is paused\n");
  progress.handlers[1] = {.name = "B", .topics = {"a"}, .gate = Gate::kTripped};
  EXPECT_THAT(ReadyOf(progress).progress.message(), HasSubstr("the breaker of handler B is open"));
  progress.handlers[1].gate = Gate::kProbing;
  EXPECT_TRUE(ReadyOf(progress).ok());
  EXPECT_EQ(Idle(Consuming({{.name = "C", .topics = {"c"}}})), "");
}

TEST(ParseAddress, TakesHostAndPort) {
  Address address;
  ASSERT_TRUE(ParseAddress("127.0.0.1:8080", address).ok());
  EXPECT_EQ(absl::StrCat(address.host, " ", address.port), "127.0.0.1 8080");
  ASSERT_TRUE(ParseAddress("[::1]:0", address).ok());
  EXPECT_EQ(absl::StrCat(address.host, " ", address.port), "::1 0");
  for (const char* text : {"8080", ":8080"}) {
    ASSERT_TRUE(ParseAddress(text, address).ok());
    EXPECT_EQ(absl::StrCat(address.host, " ", address.port), "127.0.0.1 8080");
  }
}

TEST(ParseAddress, RefusesAllElseAndShowsIt) {
  Address address;
  for (const char* text : {"", ":", "http", ":http", "localhost", "localhost:", "localhost:http", "h:65536", "h:-1",
                           "::1:8080", "[::1]", "[::1:80", "http://h:80", "h h:80", "[]:80"}) {
    const absl::Status status = ParseAddress(text, address);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(status.message(), HasSubstr(absl::StrCat("'", text, "'")));
  }
}

}  // namespace
}  // namespace messaging::metrics
