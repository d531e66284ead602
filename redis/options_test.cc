#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "redis/redis_broker.h"

namespace messaging {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<RedisOptions> Parse(const std::string& url, std::map<std::string, std::string> native = {}) {
  return ParseRedisOptions({.url = url, .native = std::move(native)});
}

TEST(RedisOptionsTest, UrlsSayWhereAndWho) {
  const auto all = Parse("redis://us%40er:p%3Aw%2F@example.com:7000/5?claim_idle=3s&partitions=8");
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->host, "example.com");
  EXPECT_EQ(all->port, 7000);
  EXPECT_EQ(all->user, "us@er");
  EXPECT_EQ(all->password, "p:w/");
  EXPECT_EQ(all->database, 5);
  EXPECT_FALSE(all->tls);
  EXPECT_EQ(all->claim_idle, absl::Seconds(3));
  EXPECT_EQ(all->PartitionsOf("any"), 8);
  EXPECT_EQ(all->Address(), "redis example.com:7000");

  const auto least = Parse("redis://");
  ASSERT_TRUE(least.ok()) << least.status();
  EXPECT_EQ(least->Address(), "redis 127.0.0.1:6379");
  EXPECT_EQ(least->user + least->password, "");

  const auto password = Parse("redis://:secret@h");
  ASSERT_TRUE(password.ok());
  EXPECT_EQ(password->user, "");
  EXPECT_EQ(password->password, "secret");

  const auto tls = Parse("rediss://[::1]:1", {{"tls_verify", "false"}, {"tls_server_name", "name"}});
  ASSERT_TRUE(tls.ok()) << tls.status();
  EXPECT_TRUE(tls->tls);
  EXPECT_EQ(tls->host, "::1");
  EXPECT_FALSE(tls->tls_verify);
  EXPECT_EQ(tls->tls_server_name, "name");

  const auto socket = Parse("redis+unix:///run/redis.sock");
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_EQ(socket->unix_socket, "/run/redis.sock");
  EXPECT_EQ(socket->Address(), "redis /run/redis.sock");
}

TEST(RedisOptionsTest, ATopicsOwnPartitionsComeFirst) {
  auto options =
      ParseRedisOptions({.url = "redis://h?partitions=2", .topics = {{"wide", {.partitions = 9}}, {"t", {}}}});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->PartitionsOf("wide"), 9);
  EXPECT_EQ(options->PartitionsOf("t"), 2);
}

TEST(RedisOptionsTest, SaysWhatIsWrong) {
  const struct {
    const char* url;
    const char* says;
  } kCases[] = {
      {"redis://h/zero", "number of a database"},
      {"redis://h/-1", "number of a database"},
      {"redis://a,b", "one host"},
      {"redis+unix://", "names no socket"},
      {"redis://h?claim_idle=soon", "a duration"},
      {"redis://h?claim_idle=-1s", "a duration"},
      {"redis://h?partitions=many", "a number"},
      {"redis://h?partitions=1001", "up to 1000"},
      {"redis://h?max_length=-1", "a number"},
      {"redis://h?tls_verify=perhaps", "true or false"},
      {"redis://h?trim_unhandled=2", "true or false"},
      {"redis://h?shards=1", "has no option shards; it has "},
      {"rediss://h?tls_certificate=c", "come together"},
  };
  for (const auto& [url, says] : kCases) {
    const auto options = Parse(url);
    EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_THAT(std::string(options.status().message()), HasSubstr(says)) << url;
  }
}

}  // namespace
}  // namespace messaging
