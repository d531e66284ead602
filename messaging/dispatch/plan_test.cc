#include "messaging/dispatch/plan.h"

#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/handler.h"
#include "messaging/provide.h"

namespace messaging {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Gateway {};

absl::Status Bytes(std::string_view) { return absl::OkStatus(); }
absl::Status Charge(std::string_view, Gateway&) { return absl::OkStatus(); }
std::vector<absl::Status> Many(absl::Span<const std::string_view> all) { return std::vector<absl::Status>(all.size()); }
absl::Status CheckView(const std::string_view&) { return absl::OkStatus(); }
absl::Status CheckString(const std::string&) { return absl::OkStatus(); }

Handler Named(std::string name, HandlerOptions options = {.topics = {"topic"}}) {
  return MakeHandler(std::move(name), &Bytes, std::move(options));
}

absl::Status Checked(std::vector<Handler> handlers) { return CheckHandlers(handlers, Providers()); }

TEST(CheckHandlers, NoneIsAnErrorThatNamesTheCure) {
  EXPECT_EQ(Checked({}).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Checked({}).message(), HasSubstr("message_handlers()"));
}

TEST(CheckHandlers, ATypeThatNobodyProvidedIsNamedWithItsHandler) {
  absl::Status status = Checked({MakeHandler("ChargePayment", &Charge, {.topics = {"payments"}})});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(),
            "handler ChargePayment takes messaging::Gateway&, which nobody provided: call "
            "messaging::Provide<messaging::Gateway>(...) before Start");
  Gateway gateway;
  Providers providers;
  providers.Provide<Gateway>(&gateway);
  EXPECT_TRUE(CheckHandlers({MakeHandler("ChargePayment", &Charge, {.topics = {"payments"}})}, providers).ok());
}

TEST(CheckHandlers, OneNameForTwoIsAnErrorAlsoWhenItIsAFormerName) {
  EXPECT_THAT(Checked({Named("F"), Named("F")}).message(), HasSubstr("two handlers are called F"));
  EXPECT_THAT(Checked({Named("F"), Named("G", {.topics = {"topic"}, .formerly = {"F"}})}).message(),
              HasSubstr("two handlers are called F"));
  EXPECT_TRUE(Checked({Named("F"), Named("G", {.topics = {"topic"}, .formerly = {"E"}})}).ok());
}

TEST(CheckHandlers, OptionsThatMakeNoSenseAreNamed) {
  struct Case {
    HandlerOptions options;
    std::string_view text;
  };
  const Case cases[] = {
      {{}, "no topic"},
      {{.topics = {"no spaces"}}, "\"no spaces\""},
      {{.topics = {"t"}, .max_retries = -1}, "max_retries"},
      {{.topics = {"t"}, .retry_delay = -absl::Seconds(1)}, "retry_delay"},
      {{.topics = {"t", "u", "t"}}, "topic t is named twice"},
      {{.topics = {"t"}, .retry_delay = absl::InfiniteDuration()}, "retry_delay is infinite"},
      {{.topics = {"t"}, .backoff = {.factor = 0.5}}, "backoff"},
      {{.topics = {"t"}, .backoff = {.factor = std::nan("")}}, "backoff"},
      {{.topics = {"t"}, .backoff = {.jitter = HUGE_VAL}}, "backoff"},
      {{.topics = {"t"}, .max_retries = 65, .backoff = {.factor = 2, .max = absl::InfiniteDuration()}}, "a ceiling"},
      {{.topics = {"t"}, .validate = &CheckString}, "validate checks another type than its message, std::string_view"},
      {{.topics = {"t"}, .timeout = absl::ZeroDuration()}, "timeout"},
      {{.topics = {"t"}, .breaker = {.failures = -1}}, "breaker"},
      {{.topics = {"t"}, .breaker = {.share = 1.5}}, "breaker"},
      {{.topics = {"t"}, .breaker = {.failures = 1, .probe_after = absl::ZeroDuration()}}, "breaker"},
      {{.topics = {"t"}, .concurrency = -1}, "concurrency"},
      {{.topics = {"t"}, .rate_limit = {.per_second = -1}}, "rate_limit"},
      {{.topics = {"t"}, .rate_limit = {.per_second = 1, .burst = 0}}, "rate_limit"},
      {{.topics = {"t"}, .group = "a/b"}, "a/b"},
  };
  for (const Case& one : cases) {
    absl::Status status = Checked({Named("F", one.options)});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << one.text;
    EXPECT_THAT(status.message(), HasSubstr("handler F: "));
    EXPECT_THAT(status.message(), HasSubstr(one.text));
  }
  EXPECT_TRUE(Checked({Named("F", {.topics = {"t"}, .validate = &CheckView})}).ok());
}

TEST(CheckHandlers, BatchOptionsCountForBatchHandlersAlone) {
  HandlerOptions empty_batch{.topics = {"t"}, .batch = {.max = 0}};
  EXPECT_THAT(Checked({MakeHandler("F", &Many, empty_batch)}).message(), HasSubstr("batch.max"));
  EXPECT_TRUE(Checked({MakeHandler("F", &Bytes, empty_batch)}).ok());
  HandlerOptions strict{.topics = {"t"}, .order = Order::kPerKeyStrict};
  EXPECT_THAT(Checked({MakeHandler("F", &Many, strict)}).message(), HasSubstr("not for batches"));
  EXPECT_TRUE(Checked({MakeHandler("F", &Bytes, strict)}).ok());
}

TEST(CheckHandlers, TellsAllErrorsALineEach) {
  absl::Status status = Checked({Named("F", {}), Named("G", {.topics = {"t"}, .concurrency = -1})});
  EXPECT_EQ(status.message(), "handler F: no topic: set .topics\nhandler G: concurrency is negative");
}

TEST(PlanHandlers, GivesEachGroupOneSubscription) {
  const std::vector<Handler> handlers = {Named("A"), Named("B", {.topics = {"t"}, .group = "other"}), Named("C"),
                                         MakeHandler("D", &Many, {.topics = {"t"}, .group = "own"})};
  std::vector<std::string> groups;
  std::vector<EngineHandler> planned = PlanHandlers(handlers, "own", groups);
  EXPECT_THAT(groups, ElementsAre("own", "other"));
  ASSERT_EQ(planned.size(), 4u);
  EXPECT_EQ(planned[0].subscription, 0);
  EXPECT_EQ(planned[1].subscription, 1);
  EXPECT_EQ(planned[2].subscription, 0);
  EXPECT_EQ(planned[3].subscription, 0);
  EXPECT_TRUE(planned[3].is_batch);
  EXPECT_FALSE(planned[0].is_batch);
}

TEST(PlanSubscription, JoinsTheHandlersOfATopicAndKnowsTheirFormerNames) {
  const std::vector<Handler> handlers = {
      Named("A", {.topics = {"t", "u"}, .order = Order::kNone}),
      Named("B", {.topics = {"t"}, .order = Order::kPerKeyStrict, .formerly = {"Old"}}),
      Named("C", {.topics = {"v"}, .group = "other"})};
  SubscribeOptions options = PlanSubscription(handlers, "own", "own", StartAt::kNow);
  EXPECT_EQ(options.group, "own");
  EXPECT_EQ(options.start_at, StartAt::kNow);
  ASSERT_EQ(options.topics.size(), 2u);
  EXPECT_EQ(options.topics[0].topic, "t");
  EXPECT_THAT(options.topics[0].handlers, ElementsAre("A", "B", "Old"));
  EXPECT_TRUE(options.topics[0].ordered);
  EXPECT_TRUE(options.topics[0].strict);
  EXPECT_EQ(options.topics[1].topic, "u");
  EXPECT_FALSE(options.topics[1].ordered);
}

}  // namespace
}  // namespace messaging
