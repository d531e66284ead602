#include "rabbitmq/topology.h"

#include <string>
#include <variant>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace messaging::rabbitmq {
namespace {

constexpr Version kOld = {3, 10};
constexpr Version kNew = {4, 0};

const QueueSpec::Value* Argument(const QueueSpec& spec, const std::string& name) {
  for (const auto& [each, value] : spec.arguments) {
    if (each == name) return &value;
  }
  return nullptr;
}

// -1 makes an old server drop what it delivers twice; without it a new one drops after 20 deliveries.
TEST(TopologyTest, TheDeliveryLimitFollowsTheServersVersion) {
  const RabbitmqOptions options;
  EXPECT_EQ(Argument(GroupQueue(options, "t", "g", -1, kOld), "x-delivery-limit"), nullptr);
  EXPECT_EQ(Argument(DeadQueue("t", "g", kOld), "x-delivery-limit"), nullptr);
  for (const QueueSpec& spec : {GroupQueue(options, "t", "g", -1, kNew), DeadQueue("t", "g", kNew),
                                DelayQueue("t", "g", -1, absl::Seconds(1), "g/t", kNew)}) {
    ASSERT_NE(Argument(spec, "x-delivery-limit"), nullptr) << spec.name;
    EXPECT_EQ(std::get<int64_t>(*Argument(spec, "x-delivery-limit")), -1);
  }
}

// A queue that expires is deleted with what is in it; dead-lettering is at least once only with these three.
TEST(TopologyTest, ADelayQueueLosesNothing) {
  const QueueSpec spec = DelayQueue("t", "g", 2, absl::Milliseconds(1'500), "g/t/2", kOld);
  EXPECT_EQ(std::get<int64_t>(*Argument(spec, "x-message-ttl")), 1'500);
  EXPECT_EQ(std::get<std::string>(*Argument(spec, "x-queue-type")), "quorum");
  EXPECT_EQ(std::get<std::string>(*Argument(spec, "x-dead-letter-strategy")), "at-least-once");
  EXPECT_EQ(std::get<std::string>(*Argument(spec, "x-overflow")), "reject-publish");
  EXPECT_EQ(std::get<std::string>(*Argument(spec, "x-dead-letter-routing-key")), "g/t/2");
  EXPECT_EQ(Argument(spec, "x-expires"), nullptr);
  EXPECT_NE(spec.name, DelayQueue("t", "g", 2, absl::Milliseconds(1'501), "g/t/2", kOld).name) << "one delay each";
}

TEST(TopologyTest, NamesFitAndAreReadBack) {
  const std::string longest(120, 'x');
  const RabbitmqOptions options;
  std::string topic, group;
  int partition = 0;
  ASSERT_TRUE(ParseQueueName(QueueName(options, longest, longest, 999), topic, group, partition));
  EXPECT_EQ(topic, longest);
  EXPECT_EQ(group, longest);
  EXPECT_EQ(partition, 999);
  EXPECT_LE(NotesStream(longest, longest).name.size(), 255u);
  EXPECT_LE(MembersQueue(longest, longest).name.size(), 255u);
  EXPECT_LE(DelayQueue(longest, longest, 999, absl::Hours(99'999), "q", kOld).name.size(), 255u);
  ASSERT_TRUE(ParseQueueName("g/t", topic, group, partition));
  EXPECT_EQ(partition, -1);
  for (const char* other : {"", "t", "g/t/x", "g/t/1/2", "/", "a b/t", "__messaging.dead.1.t.g"}) {
    EXPECT_FALSE(ParseQueueName(other, topic, group, partition)) << other;
  }
}

TEST(TopologyTest, KeysGoWhereEverySenderPutsThem) {
  EXPECT_EQ(PartitionOf("", 8), static_cast<int>(0xcbf29ce484222325 % 8));
  EXPECT_EQ(StableHash("a"), 0xaf63dc4c8601ec8c);
}

}  // namespace
}  // namespace messaging::rabbitmq
