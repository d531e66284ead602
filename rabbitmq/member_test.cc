// A member against a real server: what the conformance suite does not ask.
#include <memory>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "messaging/broker/testing/fake_sink.h"
#include "rabbitmq/rabbitmq_broker.h"
#include "tests/servers/rabbitmq_server.h"

namespace messaging {
namespace {

constexpr absl::Duration kLimit = absl::Minutes(2);

TEST(RabbitmqMemberTest, ALostServerIsToldAndItsReturn) {
  servers::RabbitmqServer server;
  ASSERT_EQ(server.Start(), absl::OkStatus());
  auto broker = MakeRabbitmqBrokerFromUrl({.url = server.url(), .client_name = "test"});
  ASSERT_TRUE(broker.ok()) << broker.status();
  FakeSink sink;
  auto member = (*broker)->Subscribe({.group = "g", .topics = {{.topic = "t"}}, .member = "m"}, &sink);
  ASSERT_TRUE(member.ok()) << member.status();
  ASSERT_EQ((*member)->Start(), absl::OkStatus());
  EXPECT_EQ(sink.assignment(), (Assignment{.group = "g"}));
  // Not by SIGKILL: a quorum queue that was made a moment before answers nobody after that.
  ASSERT_EQ(server.server().Stop(), absl::OkStatus());
  EXPECT_TRUE(sink.WaitForAssignment([](const Assignment& now) { return now.missing.starts_with("connects again: "); },
                                     kLimit));
  ASSERT_EQ(server.server().StartAgain(), absl::OkStatus());
  EXPECT_TRUE(sink.WaitForAssignment([](const Assignment& now) { return now.missing.empty(); }, kLimit))
      << sink.assignment().missing;
  EXPECT_EQ((*member)->Close(absl::Now() + kLimit), absl::OkStatus());
}

}  // namespace
}  // namespace messaging
