#include "metrics/prometheus.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/dead_letters.h"
#include "messaging/client.h"
#include "messaging/codec.h"
#include "messaging/json/json.h"

namespace messaging::metrics {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(PrometheusObserver, AddsUpWhatManyThreadsCountWhileItIsRead) {
  const absl::Time now = absl::UnixEpoch();
  PrometheusObserver observer;
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done) (void)observer.Text();
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&observer, now, i] {
      for (int j = 0; j < 1000; ++j) {
        observer.OnReceived(absl::StrCat("topic", j % 10), 1, 8);
        observer.OnHandled(absl::StrCat("handler", i % 2), "topic0",
                           {absl::OkStatus(), absl::Milliseconds(1), now, {now}});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  done = true;
  reader.join();
  const std::string text = observer.Text();
  for (int topic = 0; topic < 10; ++topic) {
    EXPECT_THAT(text, HasSubstr(absl::StrCat("messaging_received_messages_total{topic=\"topic", topic, "\"} 400\n")));
  }
  EXPECT_THAT(text,
              HasSubstr("messaging_handled_messages_total{handler=\"handler1\",topic=\"topic0\",code=\"OK\"} 2000\n"));
}

TEST(PrometheusObserver, AThreadThatRemembersAnObserverThatIsGoneCountsForTheNewOne) {
  for (int i = 0; i < 3; ++i) {
    PrometheusObserver observer;
    observer.OnSent("t", 5);
    EXPECT_THAT(observer.Text(), HasSubstr("messaging_sent_bytes_total{topic=\"t\"} 5\n"));
  }
}

TEST(PrometheusObserver, ThousandsOfForeignNamesAreOneSeries) {
  PrometheusObserver observer({.max_names = 10});
  for (int i = 0; i < 5000; ++i)
    observer.OnDeadLetter(absl::StrCat("h", i), absl::StrCat("t", i), absl::DataLossError(""));
  const std::string text = observer.Text();
  EXPECT_THAT(text,
              HasSubstr("messaging_dead_letters_total{handler=\"other\",topic=\"other\",code=\"DATA_LOSS\"} 4990\n"));
  EXPECT_THAT(text, Not(HasSubstr("h10\"")));
}

TEST(PrometheusObserver, AMessageWithoutATimestampHasNoAge) {
  PrometheusObserver observer;
  const absl::Time now = absl::Now();
  observer.OnHandled("h", "t",
                     {absl::OkStatus(),
                      absl::Milliseconds(1),
                      now,
                      {absl::InfinitePast(), now - absl::Seconds(2), absl::InfinitePast()}});
  const std::string text = observer.Text();
  EXPECT_THAT(text, HasSubstr("messaging_handled_messages_total{handler=\"h\",topic=\"t\",code=\"OK\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("messaging_message_age_seconds_count{topic=\"t\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("messaging_message_age_seconds_sum{topic=\"t\"} 2\n"));
}

TEST(PrometheusObserver, AClientsMessageIsCountedFromSendToHandler) {
  PrometheusObserver observer;
  absl::Notification handled;
  auto client = Client::Create({.url = "memory://prometheus_test", .group = "g", .observer = &observer});
  ASSERT_TRUE(client.ok()) << client.status();
  (*client)->AddHandler(MakeHandler("Count",
                                    [&handled](std::string_view) {
                                      if (!handled.HasBeenNotified()) handled.Notify();
                                      return absl::InvalidArgumentError("never good");
                                    },
                                    {.topics = {"orders"}}));
  ASSERT_TRUE((*client)->Start().ok());
  ASSERT_TRUE((*client)->producer().Send(Message{.topic = "orders", .payload = "x"}).Wait().ok());
  handled.WaitForNotification();
  ASSERT_TRUE((*client)->Stop().ok());
  const std::string text = observer.Text();
  EXPECT_THAT(text, HasSubstr("messaging_send_results_total{topic=\"orders\",result=\"accepted\"} 1\n"));
  EXPECT_THAT(
      text,
      HasSubstr("messaging_handled_messages_total{handler=\"Count\",topic=\"orders\",code=\"INVALID_ARGUMENT\"} 1\n"));
  EXPECT_THAT(
      text,
      HasSubstr("messaging_dead_letters_total{handler=\"Count\",topic=\"orders\",code=\"INVALID_ARGUMENT\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("messaging_in_flight_messages 0\n"));
}

TEST(PrometheusObserver, WhatAnAsynchronousHandlerCannotDecodeIsCountedAndADeadLetter) {
  PrometheusObserver observer;
  absl::Notification handled;
  auto client = Client::Create({.url = "memory://prometheus_test_async", .group = "g", .observer = &observer});
  ASSERT_TRUE(client.ok()) << client.status();
  (*client)->AddHandler(MakeHandler("Count",
                                    [&handled](const nlohmann::json&, Completion done) {
                                      done(absl::OkStatus());
                                      handled.Notify();
                                    },
                                    {.topics = {"orders"}}));
  ASSERT_TRUE((*client)->Start().ok());
  for (const char* payload : {"{\"n\": ", "\xff", "{\"n\": 1}"}) {
    const Message message = {.topic = "orders", .payload = payload, .key = "k", .content_type = "application/json"};
    ASSERT_TRUE((*client)->producer().Send(message).Wait().ok());
  }
  handled.WaitForNotification();  // By its key it comes last.
  ASSERT_TRUE((*client)->Stop().ok());
  const std::string text = observer.Text();
  for (const char* metric : {"handled_messages", "dead_letters"}) {
    EXPECT_THAT(text,
                HasSubstr(absl::StrCat("messaging_", metric,
                                       "_total{handler=\"Count\",topic=\"orders\",code=\"INVALID_ARGUMENT\"} 2\n")));
  }
  EXPECT_THAT(text, HasSubstr("messaging_handled_messages_total{handler=\"Count\",topic=\"orders\",code=\"OK\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("messaging_retries_total{")));
  EXPECT_THAT(text, HasSubstr("messaging_in_flight_messages 0\n"));
  std::vector<std::string> dead;
  ASSERT_TRUE((*client)
                  ->broker()
                  .dead_letters()
                  .List({.handler = "Count"},
                        [&dead](const DeadLetter& letter) {
                          EXPECT_EQ(letter.failure.attempts, 1);
                          dead.push_back(letter.message.payload);
                          return true;
                        })
                  .ok());
  EXPECT_THAT(dead, ElementsAre("{\"n\": ", "\xff"));
}

}  // namespace
}  // namespace messaging::metrics
