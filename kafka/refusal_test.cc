// What becomes of sends while a cluster that is there does not let this client in.
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "kafka/kafka_broker.h"
#include "messaging/broker/broker.h"
#include "messaging/outgoing.h"
#include "tests/servers/kafka_server.h"

namespace messaging {
namespace {

// librdkafka tells an error that comes again and again every half a minute only.
constexpr absl::Duration kDeadline = absl::Seconds(15);

// Each is told why, the first and those that come after librdkafka has said it: none waits until its deadline.
TEST(KafkaRefusalTest, EachSendIsToldThatTheServerIsNotTrusted) {
  servers::KafkaCluster cluster({.listeners = {"SSL"}});
  ASSERT_EQ(cluster.Start(), absl::OkStatus());
  for (const char* const create_topics : {"false", "true"}) {
    const auto broker = MakeKafkaBrokerFromUrl({.url = absl::StrCat("kafka+ssl://", cluster.bootstrap_servers("SSL")),
                                                .native = {{"create_topics", create_topics}}});
    ASSERT_TRUE(broker.ok()) << broker.status();
    for (int i = 0; i < 4; ++i) {
      const auto message = std::make_shared<Outgoing>(Message{.topic = "t", .payload = "secret", .id = "id"},
                                                      absl::Now() + kDeadline, nullptr);
      (*broker)->Publish(message);
      ASSERT_TRUE(message->WaitUntil(absl::Now() + 2 * kDeadline));
      EXPECT_EQ(message->result().status().code(), absl::StatusCode::kUnauthenticated)
          << "send " << i << ", create_topics=" << create_topics << ": " << message->result().status();
    }
  }
}

}  // namespace
}  // namespace messaging
