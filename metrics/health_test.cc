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

TEST(Ready, SaysWhatIsMissing) {
  Progress progress = Consuming({});
  EXPECT_TRUE(Ready(progress, absl::OkStatus()).ok());
  EXPECT_THAT(Ready(progress, absl::UnavailableError("db:6379: refused")).message(), HasSubstr("db:6379: refused"));
  progress.phase = Progress::Phase::kNew;
  EXPECT_EQ(Ready(progress, absl::OkStatus()).message(), "not joined yet");
  progress.phase = Progress::Phase::kDraining;
  EXPECT_EQ(Ready(progress, absl::OkStatus()).message(), "draining, 3 messages in hand");
  progress.phase = Progress::Phase::kEnded;
  EXPECT_FALSE(Ready(progress, absl::OkStatus()).ok());
  progress.phase = Progress::Phase::kFailed;
  progress.failure = absl::PermissionDeniedError("no rights");
  EXPECT_THAT(Ready(progress, absl::OkStatus()).message(), HasSubstr("no rights"));
}

TEST(Ready, SomethingPausedIsSaidAndEverythingPausedIsNotReady) {
  Progress progress = Consuming({{.name = "A", .topics = {"a", "b"}, .gate = Gate::kPaused},
                                 {.name = "B", .topics = {"a", "b"}, .paused_topics = {"a"}}});
  EXPECT_TRUE(Ready(progress, absl::OkStatus()).ok());
  EXPECT_EQ(Paused(progress), "handler A is paused, topic a is paused");
  progress.handlers[1].paused_topics = {"a", "b"};
  EXPECT_EQ(Ready(progress, absl::OkStatus()).message(),
            "nothing is consumed: handler A is paused, topic a is paused, topic b is paused");
  progress.handlers[1] = {.name = "B", .topics = {"a"}, .gate = Gate::kTripped};
  EXPECT_THAT(Ready(progress, absl::OkStatus()).message(), HasSubstr("the breaker of handler B is open"));
  progress.handlers[1].gate = Gate::kProbing;
  EXPECT_TRUE(Ready(progress, absl::OkStatus()).ok());
  EXPECT_EQ(Paused(Consuming({{.name = "C", .topics = {"c"}}})), "");
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
