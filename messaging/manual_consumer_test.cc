#include "messaging/manual_consumer.h"

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "messaging/codec.h"

namespace messaging {
namespace {

// Another client of the same in-process broker.
void Send(const std::string& url, const std::string& topic, const char* payload) {
  auto client = Client::Create({.broker = "memory", .url = url});
  ASSERT_TRUE(client.ok()) << client.status();
  const auto receipt = (*client)->producer().Send(topic, payload).Wait();
  EXPECT_TRUE(receipt.ok()) << receipt.status();
}

absl::Notification* raw_called = nullptr;
absl::Status Raw(const Received& message) {
  EXPECT_EQ(message.payload(), "hello");
  EXPECT_EQ(message.handler(), "message_handler");
  EXPECT_EQ(message.group(), "my-service");
  raw_called->Notify();
  return absl::OkStatus();
}

TEST(ManualConsumerTest, AFunctionOfTheMessageAsItIs) {
  absl::Notification called;
  raw_called = &called;
  ManualConsumer consumer(
      "memory",
      {.group_id = "my-service", .topics = {"orders.created"}, .message_handler = Raw, .url = "memory://manual-raw"});
  ASSERT_EQ(consumer.Start(), absl::OkStatus());
  Send("memory://manual-raw", "orders.created", "hello");
  EXPECT_TRUE(called.WaitForNotificationWithTimeout(absl::Seconds(10)));
  EXPECT_EQ(consumer.Stop(), absl::OkStatus());
  EXPECT_EQ(consumer.Wait(), absl::OkStatus());
}

TEST(ManualConsumerTest, ALambdaWithADecodedMessageInjectionAndRetries) {
  absl::Notification called;
  struct Database {
    std::string name = "db";
  } database;
  ManualConsumer consumer("memory", {.group_id = "g",
                                     .topics = {"t"},
                                     .message_handler =
                                         [&](const std::string& message, const Received& received, Database& injected) {
                                           EXPECT_EQ(message, "m");
                                           EXPECT_EQ(&injected, &database);
                                           if (received.attempt() == 1) return absl::UnavailableError("once more");
                                           called.Notify();
                                           return absl::OkStatus();
                                         },
                                     .url = "memory://manual-typed",
                                     .handler = {.retry_delay = absl::Milliseconds(1), .name = "mine"}});
  ASSERT_NE(consumer.providers(), nullptr);
  consumer.providers()->Provide<Database>(&database);
  ASSERT_EQ(consumer.Start(), absl::OkStatus());
  Send("memory://manual-typed", "t", "m");
  EXPECT_TRUE(called.WaitForNotificationWithTimeout(absl::Seconds(10)));
}

TEST(ManualConsumerTest, SaysWhatIsMissing) {
  auto start = [](ManualConsumerOptions options) { return ManualConsumer("memory", std::move(options)).Start(); };
  EXPECT_EQ(start({.topics = {"t"}, .message_handler = Raw}),
            absl::InvalidArgumentError("a consumer needs a group_id"));
  EXPECT_EQ(start({.group_id = "g", .message_handler = Raw}), absl::InvalidArgumentError("a consumer needs topics"));
  EXPECT_EQ(start({.group_id = "g", .topics = {"t"}}),
            absl::InvalidArgumentError("a consumer needs a message_handler"));
  ManualConsumer unknown("carrier-pigeon", {.group_id = "g", .topics = {"t"}, .message_handler = Raw});
  EXPECT_EQ(unknown.Start().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(unknown.providers(), nullptr);
}

}  // namespace
}  // namespace messaging
