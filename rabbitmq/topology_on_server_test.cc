// What a real server does with the queues as they are declared, and with others' queues and messages.
#include <rabbitmq-c/amqp.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/broker/names.h"
#include "nlohmann/json.hpp"
#include "rabbitmq/testing/with_server.h"

namespace messaging {
namespace {

using rabbitmq::QueueSpec;
using rabbitmq_testing::Joined;
using rabbitmq_testing::kLimit;
using rabbitmq_testing::Other;
using rabbitmq_testing::Send;
using rabbitmq_testing::SendMany;
using rabbitmq_testing::WaitUntil;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kRetryDelay = absl::Milliseconds(100);

Failure FailureOf(int attempts) {
  return {.handler = "h",
          .status = absl::InternalError("told to"),
          .attempts = attempts,
          .first = absl::Now(),
          .last = absl::Now()};
}

class RabbitmqTopologyTest : public rabbitmq_testing::WithServer {
 protected:
  nlohmann::json ArgumentsOf(const std::string& queue) {
    nlohmann::json arguments;
    for (const nlohmann::json& each : management().Get(absl::StrCat("queues/", virtual_host_))) {
      if (each.value("name", "") == queue) arguments = each["arguments"];
    }
    return arguments;
  }
};

TEST_F(RabbitmqTopologyTest, WhatNobodyWouldGetIsRefusedWithTheCure) {
  const auto broker = NewBroker();
  const absl::Status refused = Send(*broker, "early");
  EXPECT_EQ(refused.code(), absl::StatusCode::kNotFound) << refused;
  EXPECT_THAT(std::string(refused.message()), AllOf(HasSubstr("topic t"), HasSubstr("core topics declare t --group")));
  Joined joined(*broker);
  EXPECT_EQ(Send(*broker, "m"), absl::OkStatus());
  Joined late(*broker, {"t"}, "late", {.messages = 10, .bytes = size_t{1} << 30}, "another");
  EXPECT_EQ(Send(*broker, "n"), absl::OkStatus());
  ASSERT_TRUE(late.sink.WaitForDeliveries(1, kLimit));
  EXPECT_THAT(late.sink.payloads(), ElementsAre("n")) << "a group sees what is sent after its queue was made";
  ASSERT_TRUE(joined.sink.WaitForDeliveries(2, kLimit));
}

TEST_F(RabbitmqTopologyTest, DelayQueuesNeverExpireAndMoveAtLeastOnce) {
  const auto broker = NewBroker();
  Joined joined(*broker);
  SendMany(*broker, 2);
  ASSERT_TRUE(joined.sink.WaitForDeliveries(2, kLimit));
  // A short delay is not held up by a longer one before it.
  joined.Give(joined.sink.TakeFirst().RetryAfter(absl::Seconds(3), FailureOf(1)));
  joined.Give(joined.sink.TakeFirst().RetryAfter(kRetryDelay, FailureOf(1)));
  ASSERT_TRUE(joined.sink.WaitForDeliveries(2, kLimit));
  EXPECT_THAT(joined.sink.payloads(), ElementsAre("1", "0"));
  const nlohmann::json arguments = ArgumentsOf(RetryPlace("t", "g", kRetryDelay));
  EXPECT_EQ(arguments.value("x-dead-letter-strategy", ""), "at-least-once");
  EXPECT_EQ(arguments.value("x-overflow", ""), "reject-publish");
  EXPECT_EQ(arguments.value("x-queue-type", ""), "quorum");
  EXPECT_EQ(arguments.value("x-message-ttl", 0), 100);
  EXPECT_FALSE(arguments.contains("x-expires"));
}

// The limit's argument would make this server drop what is delivered twice.
TEST_F(RabbitmqTopologyTest, AThousandRedeliveriesLoseNothing) {
  const auto broker = NewBroker();
  { const Joined first(*broker); }
  EXPECT_EQ(Send(*broker, "m"), absl::OkStatus());
  EXPECT_FALSE(ArgumentsOf("g/t").contains("x-delivery-limit"));
  Other other(server(), virtual_host_);
  for (int i = 0; i < 1'000; ++i) {
    amqp_basic_get(other.state(), 1, amqp_cstring_bytes("g/t"), /*no_ack=*/0);
    amqp_message_t message;
    ASSERT_EQ(amqp_read_message(other.state(), 1, &message, 0).reply_type, AMQP_RESPONSE_NORMAL) << i;
    amqp_destroy_message(&message);
    amqp_basic_nack(other.state(), 1, static_cast<uint64_t>(i) + 1, /*multiple=*/0, /*requeue=*/1);
    ASSERT_TRUE(WaitUntil([&] { return other.Ready("g/t") == 1; }));
  }
  Joined joined(*broker);
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
  const Delivery delivery = joined.sink.TakeFirst();
  EXPECT_EQ(delivery.record()->payload, "m");
  EXPECT_EQ(delivery.record()->attempts, 0) << "redeliveries are no attempts";
}

TEST_F(RabbitmqTopologyTest, ADeliveryLimitThatAQueueHasIsKeptAndTold) {
  Other other(server(), virtual_host_);
  ASSERT_EQ(
      other.DeclareQueue(
          {.name = "g/t", .arguments = {{"x-queue-type", std::string("quorum")}, {"x-delivery-limit", int64_t{5}}}}),
      absl::OkStatus());
  const auto broker = NewBroker();
  Joined joined(*broker);
  ASSERT_EQ(joined.started, absl::OkStatus());
  EXPECT_EQ(Send(*broker, "m"), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
  joined.Settle(Settlement::Verdict::kAck);
  EXPECT_EQ(ArgumentsOf("g/t").value("x-delivery-limit", 0), 5);
}

TEST_F(RabbitmqTopologyTest, OtherArgumentsAreToldBeforeTheFirstMessage) {
  Other other(server(), virtual_host_);
  ASSERT_EQ(other.DeclareQueue({.name = "g/t", .arguments = {{"x-queue-type", std::string("classic")}}}),
            absl::OkStatus());
  ASSERT_EQ(other.Publish("", "g/t", "m"), absl::OkStatus());
  const auto broker = NewBroker();
  Joined joined(*broker);
  EXPECT_EQ(joined.started.code(), absl::StatusCode::kFailedPrecondition) << joined.started;
  EXPECT_THAT(std::string(joined.started.message()),
              AllOf(HasSubstr("g/t"), HasSubstr("x-queue-type"), HasSubstr("quorum"), HasSubstr("classic")));
  EXPECT_TRUE(joined.sink.batches().empty());
  EXPECT_EQ(other.Ready("g/t"), 1);
}

TEST_F(RabbitmqTopologyTest, WhatOthersMadeIsUsedAsItIs) {
  Other other(server(), virtual_host_);
  ASSERT_EQ(other.DeclareQueue({.name = "their queue", .arguments = {{"x-max-priority", int64_t{3}}}}),
            absl::OkStatus());
  ASSERT_EQ(other.DeclareExchange("theirs", "direct"), absl::OkStatus());
  ASSERT_EQ(other.Bind("their queue", "theirs", "their key"), absl::OkStatus());
  const auto broker = NewBroker({}, {{"in", {.settings = {{"queue", "their queue"}}}},
                                     {"out", {.settings = {{"exchange", "theirs"}, {"routing_key", "their key"}}}}});
  Joined joined(*broker, {"in"});
  ASSERT_EQ(joined.started, absl::OkStatus());
  EXPECT_EQ(Send(*broker, "ours", "out"), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
  EXPECT_THAT(joined.sink.payloads(), ElementsAre("ours"));
  // Retries come back to it.
  joined.Give(joined.sink.TakeFirst().RetryAfter(kRetryDelay, FailureOf(1)));
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
  const Delivery again = joined.sink.TakeFirst();
  EXPECT_EQ(again.record()->attempts, 1);
  EXPECT_EQ(again.record()->topic, "in");
}

TEST_F(RabbitmqTopologyTest, RedeliveriesOfWhatWasNotHandledAreNoAttempts) {
  const auto broker = NewBroker();
  Joined joined(*broker, {"t"}, "m", {.messages = 1, .bytes = size_t{1} << 30});
  SendMany(*broker, 3);
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
  for (int i = 0; i < 2; ++i) {
    const size_t revokes = joined.sink.revokes();
    EXPECT_TRUE(
        server().Evaluate("rabbit_networking:close_connections(rabbit_networking:connections(), \"test\").").ok());
    ASSERT_TRUE(WaitUntil([&] { return joined.sink.revokes() > revokes; }));
    ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
  }
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit)) << i;
    Delivery delivery = joined.sink.TakeFirst();
    EXPECT_EQ(delivery.record()->attempts, 0);
    EXPECT_FALSE(delivery.record()->suspect) << "its member lives";
    joined.Give(std::move(delivery).Ack());
    joined.subscription->Wake();
  }
}

}  // namespace
}  // namespace messaging
