// Each server starts, answers, survives being killed and started again, and leaves nothing behind.
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/rabbitmq_server.h"
#include "tests/servers/redis_server.h"
#include "tests/servers/socket.h"

namespace messaging::servers {
namespace {

bool Exists(const std::string& path) {
  struct stat unused;
  return stat(path.c_str(), &unused) == 0;
}

TEST(ServersTest, PortsAreGivenOnce) { EXPECT_NE(FreePort(), FreePort()); }

TEST(ServersTest, AProgramThatIsNotThereIsNamedWithTheCure) {
  Server server("nothing");
  const absl::Status status =
      server.Start({.name = "nothing", .argv = {"no-such-program"}, .ready = [] { return absl::OkStatus(); }});
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("tools/setup --servers"));
}

TEST(ServersTest, AProgramThatEndsIsToldWithItsLog) {
  Server server("false");
  const absl::Status status =
      server.Start({.name = "short", .argv = {"sh", "-c", "echo it hurts; exit 3"}, .ready = [] {
                      return absl::UnavailableError("not yet");
                    }});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("it hurts"));
}

TEST(ServersTest, TheServerGoesWithAProcessThatIsKilled) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    RedisServer redis;
    const int port = redis.Start().ok() ? redis.port() : -1;
    (void)!write(ends[1], &port, sizeof(port));
    pause();
  }
  int port = -1;
  ASSERT_EQ(read(ends[0], &port, sizeof(port)), static_cast<ssize_t>(sizeof(port)));
  ASSERT_TRUE(Ask(port, "PING\r\n", 5).ok());
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  const absl::Time limit = absl::Now() + absl::Seconds(20);
  while (Ask(port, "PING\r\n", 5).ok() && absl::Now() < limit) absl::SleepFor(absl::Milliseconds(20));
  EXPECT_FALSE(Ask(port, "PING\r\n", 5).ok());
}

TEST(ServersTest, RedisKeepsItsDataWhenItIsKilled) {
  std::string folder;
  {
    RedisServer redis;
    ASSERT_EQ(redis.Start(), absl::OkStatus());
    folder = redis.server().folder();
    ASSERT_TRUE(Ask(redis.port(), "SET a 1\r\n", 5).ok());
    redis.server().Kill();
    EXPECT_FALSE(Ask(redis.port(), "PING\r\n", 5).ok());
    ASSERT_EQ(redis.server().StartAgain(), absl::OkStatus());
    EXPECT_EQ(Ask(redis.port(), "GET a\r\n", 7).value(), "$1\r\n1\r\n");
    EXPECT_EQ(redis.server().Stop(), absl::OkStatus());
  }
  EXPECT_FALSE(Exists(folder));
}

TEST(ServersTest, RedisWithTlsTakesNoPlainConnection) {
  RedisServer redis({.tls = true, .tls_auth_clients = true});
  ASSERT_EQ(redis.Start(), absl::OkStatus());
  EXPECT_FALSE(Ask(redis.port(), "PING\r\n", 5).ok());
  EXPECT_TRUE(Exists(redis.client_certificate_file()));
}

TEST(ServersTest, RabbitmqStartsAgainAfterItsEnd) {
  RabbitmqServer rabbitmq;
  ASSERT_EQ(rabbitmq.Start(), absl::OkStatus());
  EXPECT_EQ(rabbitmq.AddVirtualHost("shop"), absl::OkStatus());
  EXPECT_EQ(rabbitmq.server().Stop(), absl::OkStatus());
  ASSERT_EQ(rabbitmq.server().StartAgain(), absl::OkStatus());
  EXPECT_THAT(rabbitmq.Control("list_vhosts").value(), testing::HasSubstr("shop"));
  EXPECT_EQ(rabbitmq.Evaluate("lists:sum([1, 2]).").value(), "{ok, 3}");
  rabbitmq.server().Kill();
  EXPECT_FALSE(Ask(rabbitmq.port(), "AMQP", 1).ok());
}

TEST(ServersTest, KafkaStartsAgainAfterItWasKilled) {
  KafkaCluster kafka;
  ASSERT_EQ(kafka.Start(), absl::OkStatus());
  kafka.server().Kill();
  ASSERT_EQ(kafka.server().StartAgain(), absl::OkStatus());
  EXPECT_EQ(kafka.server().Stop(), absl::OkStatus());
}

TEST(ServersTest, ThreeKafkaBrokersMakeACluster) {
  KafkaCluster kafka({.brokers = 3});
  EXPECT_EQ(kafka.Start(), absl::OkStatus());
}

}  // namespace
}  // namespace messaging::servers
