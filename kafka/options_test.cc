#include <cstdio>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "kafka/kafka_broker.h"

namespace messaging {
namespace {

TEST(KafkaOptionsTest, TheUrlSaysWhereAndHow) {
  struct Row {
    const char* url;
    const char* servers;
    std::map<std::string, std::string> properties;
  };
  const std::vector<Row> rows = {
      {"kafka://", "127.0.0.1:9092", {}},
      {"kafka://one", "one:9092", {}},
      {"kafka://one:1,two:2,[::1]:3", "one:1,two:2,[::1]:3", {}},
      {"kafka://one/?acks=1&client.rack=r", "one:9092", {{"acks", "1"}, {"client.rack", "r"}}},
      {"kafka+ssl://one", "one:9092", {{"security.protocol", "ssl"}}},
      {"kafka://me:secret@one",
       "one:9092",
       {{"security.protocol", "sasl_plaintext"},
        {"sasl.mechanism", "PLAIN"},
        {"sasl.username", "me"},
        {"sasl.password", "secret"}}},
      {"kafka+ssl://me:secret@one?sasl.mechanism=SCRAM-SHA-512",
       "one:9092",
       {{"security.protocol", "sasl_ssl"},
        {"sasl.mechanism", "SCRAM-SHA-512"},
        {"sasl.username", "me"},
        {"sasl.password", "secret"}}},
  };
  for (const Row& row : rows) {
    const auto options = ParseKafkaOptions({.url = row.url});
    ASSERT_TRUE(options.ok()) << row.url << ": " << options.status();
    EXPECT_EQ(options->servers, row.servers) << row.url;
    EXPECT_EQ(options->properties, row.properties) << row.url;
    EXPECT_FALSE(absl::StrContains(options->Address(), "secret"));
  }
}

TEST(KafkaOptionsTest, OwnOptionsAndThoseOfAFile) {
  const std::string path = testing::TempDir() + "/kafka.properties";
  std::ofstream(path) << "# comment\n\nssl.key.password = a=b \nbootstrap.servers=three:3\ncreate_topics=true\n";
  const auto options = ParseKafkaOptions({.url = "kafka://one?commit_interval=1s",
                                          .native = {{"config", path}, {"retry_partitions", "3"}},
                                          .topics = {{"known", {.partitions = 2}}}});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->servers, "three:3");
  EXPECT_EQ(options->properties, (std::map<std::string, std::string>{{"ssl.key.password", "a=b"}}));
  EXPECT_TRUE(options->create_topics);
  EXPECT_EQ(options->retry_partitions, 3);
  EXPECT_EQ(options->commit_interval, absl::Seconds(1));
  const auto strict = ParseKafkaOptions({.url = "kafka://one", .topics = {{"known", {}}}});
  ASSERT_TRUE(strict.ok());
  EXPECT_TRUE(strict->MayCreate("known"));
  EXPECT_FALSE(strict->MayCreate("other"));
}

TEST(KafkaOptionsTest, WhatIsWrongIsNamedAndSecretsAreNot) {
  const std::string path = testing::TempDir() + "/broken.properties";
  std::ofstream(path) << "client.id=x\nthe secret itself\n";
  struct Row {
    const char* url;
    std::map<std::string, std::string> native;
    const char* says;
  };
  const std::vector<Row> rows = {
      {"kafka://one/topic", {}, "path"},
      {"kafka://one", {{"commit_interval", "fast"}}, "commit_interval"},
      {"kafka://one", {{"retry_partitions", "0"}}, "retry_partitions"},
      {"kafka://one", {{"creat_topics", "true"}}, "create_topics"},
      {"kafka://one", {{"group.id", "g"}}, "group.id"},
      {"kafka://one", {{"enable.auto.commit", "true"}}, "enable.auto.commit"},
      {"kafka://one", {{"config", "/nonexistent"}}, "/nonexistent"},
      {"kafka://one", {{"config", path}}, "line 2"},
      {"kafka://one", {{"no.such.property", "1"}}, "no.such.property"},
      {"kafka://one", {{"acks", "many"}}, "acks"},
      {"kafka://one", {{"ssl.key.pem", "secret"}, {"security.protocol", "ssl"}}, "kafka"},
  };
  for (const Row& row : rows) {
    const auto broker = MakeKafkaBrokerFromUrl({.url = row.url, .native = row.native});
    EXPECT_EQ(broker.status().code(), absl::StatusCode::kInvalidArgument) << row.says << broker.status();
    EXPECT_TRUE(absl::StrContains(broker.status().message(), row.says)) << broker.status();
    EXPECT_FALSE(absl::StrContains(broker.status().message(), "secret")) << broker.status();
  }
}

}  // namespace
}  // namespace messaging
