#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rabbitmq/rabbitmq_broker.h"

namespace messaging {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<RabbitmqOptions> Parse(const std::string& url, std::map<std::string, std::string> native = {}) {
  return ParseRabbitmqOptions({.url = url, .native = std::move(native)});
}

TEST(RabbitmqOptionsTest, UrlsSayWhereAndWho) {
  const auto all = Parse("amqp://us%40er:p%3Aw%2F@a.example:7000,b.example/v%2Fhost?heartbeat=3s&partitions=8");
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->user, "us@er");
  EXPECT_EQ(all->password, "p:w/");
  EXPECT_EQ(all->virtual_host, "v/host");
  EXPECT_FALSE(all->tls);
  EXPECT_EQ(all->heartbeat, absl::Seconds(3));
  EXPECT_EQ(all->PartitionsOf("any"), 8);
  EXPECT_EQ(all->Address(), "rabbitmq a.example:7000,b.example:5672");

  for (const char* url : {"amqp://", "amqp://127.0.0.1/", "amqp://127.0.0.1/%2F"}) {
    const auto least = Parse(url);
    ASSERT_TRUE(least.ok()) << least.status();
    EXPECT_EQ(least->Address(), "rabbitmq 127.0.0.1:5672");
    EXPECT_EQ(least->virtual_host, "/");
    EXPECT_EQ(least->user, "guest");
  }

  const auto tls = Parse("amqps://[::1]", {{"tls_verify", "false"}, {"auth", "external"}, {"queue_type", "classic"}});
  ASSERT_TRUE(tls.ok()) << tls.status();
  EXPECT_TRUE(tls->tls);
  EXPECT_EQ(tls->hosts[0].name, "::1");
  EXPECT_EQ(tls->hosts[0].port, 5671);
  EXPECT_FALSE(tls->tls_verify);
  EXPECT_TRUE(tls->external_auth);
  EXPECT_TRUE(tls->classic_queues);
  EXPECT_TRUE(Parse("amqps://h")->tls_verify) << "unless told otherwise";
}

TEST(RabbitmqOptionsTest, ATopicsOwnComesFirst) {
  auto options = ParseRabbitmqOptions({.url = "amqp://h?partitions=2",
                                       .topics = {{"wide", {.partitions = 9}},
                                                  {"old", {.settings = {{"queue", "legacy"}}}},
                                                  {"out", {.settings = {{"exchange", "e"}, {"routing_key", "k"}}}}}});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->PartitionsOf("wide"), 9);
  EXPECT_EQ(options->PartitionsOf("t"), 2);
  EXPECT_EQ(options->PartitionsOf("old"), 0) << "others made it";
  EXPECT_EQ(options->SettingOf("out", "exchange"), "e");
  EXPECT_EQ(options->SettingOf("t", "exchange"), "");
}

TEST(RabbitmqOptionsTest, SaysWhatIsWrong) {
  const struct {
    const char* url;
    const char* says;
  } kCases[] = {
      {"amqp://h?heartbeat=soon", "a duration"},
      {"amqp://h?partitions=many", "a number"},
      {"amqp://h?partitions=1001", "to 1000"},
      {"amqp://h?tls_verify=perhaps", "true"},
      {"amqp://h?queue_type=lazy", "quorum or classic"},
      {"amqp://h?frame_size=1", "from 4096"},
      {"amqp://h?shards=1", "has no option shards; it has "},
      {"amqp://h?exchange=", "1 to 255 bytes"},
      {"amqps://h?tls_certificate=c", "come together"},
  };
  for (const auto& [url, says] : kCases) {
    const auto options = Parse(url);
    EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_THAT(std::string(options.status().message()), HasSubstr(says)) << url;
  }
  const auto topics = ParseRabbitmqOptions({.url = "amqp://h", .topics = {{"t", {.settings = {{"ttl", "1"}}}}}});
  EXPECT_THAT(std::string(topics.status().message()), HasSubstr("topic t has no setting ttl"));
}

}  // namespace
}  // namespace messaging
