#include "messaging/dispatch/retry.h"

#include <vector>

#include "gtest/gtest.h"

namespace messaging {
namespace {

using Verdict = Decision::Verdict;

TEST(Decide, ByOutcomeAndAttempts) {
  const struct {
    absl::Status outcome;
    int attempts;
    bool draining;
    Verdict verdict;
  } cases[] = {
      {absl::OkStatus(), 1, false, Verdict::kAck},
      {absl::OkStatus(), 9, true, Verdict::kAck},
      {absl::UnavailableError(""), 1, false, Verdict::kRetry},
      {absl::UnavailableError(""), 3, false, Verdict::kRetry},
      {absl::UnavailableError(""), 4, false, Verdict::kDeadLetter},  // max_retries 3: four attempts
      {absl::InvalidArgumentError(""), 1, false, Verdict::kDeadLetter},
      {absl::OutOfRangeError(""), 1, false, Verdict::kDeadLetter},
      {absl::UnimplementedError(""), 1, false, Verdict::kDeadLetter},
      {absl::DataLossError(""), 1, false, Verdict::kDeadLetter},
      {absl::CancelledError(""), 1, true, Verdict::kRelease},
      {absl::CancelledError(""), 1, false, Verdict::kRetry},
      {absl::UnavailableError(""), 1, true, Verdict::kRetry},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Decide({.max_retries = 3}, c.outcome, c.attempts, c.draining, 0).verdict, c.verdict)
        << c.outcome << " attempts " << c.attempts << " draining " << c.draining;
  }
}

TEST(Decide, NoRetriesMeansOneAttempt) {
  EXPECT_EQ(Decide({.max_retries = 0}, absl::UnavailableError(""), 1, false, 0).verdict, Verdict::kDeadLetter);
}

TEST(Decide, PermanentCodesAreTheHandlersOwn) {
  const HandlerOptions options{.permanent = {absl::StatusCode::kNotFound}};
  EXPECT_EQ(Decide(options, absl::NotFoundError(""), 1, false, 0).verdict, Verdict::kDeadLetter);
  EXPECT_EQ(Decide(options, absl::InvalidArgumentError(""), 1, false, 0).verdict, Verdict::kRetry);
}

TEST(RetryDelay, FixedByDefault) {
  const HandlerOptions options{.retry_delay = absl::Seconds(5)};
  EXPECT_EQ(RetryDelay(options, 1, 0.9), absl::Seconds(5));
  EXPECT_EQ(RetryDelay(options, 100, 0.9), absl::Seconds(5));
}

TEST(RetryDelay, ExponentialUpToItsCeiling) {
  const HandlerOptions options{.retry_delay = absl::Seconds(1), .backoff = {.factor = 2, .max = absl::Seconds(10)}};
  EXPECT_EQ(RetryDelay(options, 1, 0), absl::Seconds(1));
  EXPECT_EQ(RetryDelay(options, 2, 0), absl::Seconds(2));
  EXPECT_EQ(RetryDelay(options, 4, 0), absl::Seconds(8));
  EXPECT_EQ(RetryDelay(options, 5, 0), absl::Seconds(10));
  EXPECT_EQ(RetryDelay(options, 100'000, 0), absl::Seconds(10));
}

TEST(RetryDelay, JitterOnlyLengthens) {
  const HandlerOptions options{.retry_delay = absl::Seconds(10), .backoff = {.jitter = 0.2}};
  EXPECT_EQ(RetryDelay(options, 1, 0), absl::Seconds(10));
  EXPECT_EQ(RetryDelay(options, 1, 0.5), absl::Seconds(11));
}

TEST(RetryDelay, ADelayLongerThanTheDefaultCeilingIsKept) {
  EXPECT_EQ(RetryDelay({.retry_delay = absl::Hours(24)}, 1, 0), absl::Hours(24));
}

TEST(RetryRungs, CoverEveryDelayThatIsAskedFor) {
  const HandlerOptions fixed{.max_retries = 1000, .retry_delay = absl::Seconds(5)};
  const HandlerOptions growing{.max_retries = 4,
                               .retry_delay = absl::Seconds(1),
                               .backoff = {.factor = 2, .max = absl::Minutes(1), .jitter = 0.5}};
  const std::vector<absl::Duration> rungs = RetryRungs({&fixed, &growing});
  EXPECT_EQ(rungs, (std::vector<absl::Duration>{absl::Milliseconds(1500), absl::Seconds(3), absl::Seconds(5),
                                                absl::Seconds(6), absl::Seconds(12)}));
}

TEST(RetryRungs, AtMostTheLimitAndTheLongestStays) {
  const HandlerOptions growing{
      .max_retries = 60, .retry_delay = absl::Seconds(1), .backoff = {.factor = 1.2, .max = absl::Hours(1)}};
  const std::vector<absl::Duration> rungs = RetryRungs({&growing}, 16);
  EXPECT_EQ(rungs.size(), 16u);
  EXPECT_EQ(rungs.back(), absl::Hours(1));
}

TEST(RetryRungs, NoneWithoutRetries) {
  const HandlerOptions options{.max_retries = 0};
  EXPECT_TRUE(RetryRungs({&options}).empty());
}

}  // namespace
}  // namespace messaging
