// Room::closed: what a member does whose topic nobody would handle.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rabbitmq/testing/with_server.h"

namespace messaging {
namespace {

using rabbitmq_testing::Joined;
using rabbitmq_testing::kLimit;
using rabbitmq_testing::Send;
using rabbitmq_testing::SendMany;
using rabbitmq_testing::WaitUntil;
using ::testing::Each;
using ::testing::ElementsAre;

constexpr size_t kLarge = size_t{1} << 30;

Room Closed(const std::vector<std::string>& topics) {
  return {.messages = 1'000, .bytes = kLarge, .closed = std::make_shared<const std::vector<std::string>>(topics)};
}

class RabbitmqClosedTest : public rabbitmq_testing::WithServer {};

TEST_F(RabbitmqClosedTest, WhatCameAheadIsGivenBackToOthersAndComesAgainInOrder) {
  const auto broker = NewBroker();
  Joined joined(*broker, {"a", "b"}, "m", Closed({"a"}));
  ASSERT_EQ(joined.started, absl::OkStatus());
  std::vector<std::string> sent;
  for (int i = 0; i < 100; ++i) sent.push_back(absl::StrCat(i));
  SendMany(*broker, 100, "a");
  ASSERT_EQ(Send(*broker, "b", "b"), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
  EXPECT_THAT(joined.sink.payloads(), Each("b")) << "the other topic goes on";
  {
    rabbitmq_testing::Other other(server(), virtual_host_);
    ASSERT_TRUE(WaitUntil([&] { return other.Ready("g/a") == 100; })) << "for others; there are " << other.Ready("g/a");
  }
  joined.Settle(Settlement::Verdict::kAck);
  joined.sink.set_room({.messages = 1'000, .bytes = kLarge});
  joined.subscription->Wake();
  ASSERT_TRUE(joined.sink.WaitForDeliveries(100, kLimit));
  EXPECT_EQ(joined.sink.payloads(), sent);
  for (const Delivery& delivery : joined.sink.TakeAll()) {
    EXPECT_FALSE(delivery.record()->suspect) << delivery.record()->payload;
  }
}

TEST_F(RabbitmqClosedTest, APartitionOfAClosedTopicIsOthers) {
  const auto broker = NewBroker({{"partitions", "2"}});
  Joined closed(*broker, {"t"}, "closed", Closed({"t"}));
  Joined open(*broker, {"t"}, "open");
  SendMany(*broker, 20);
  ASSERT_TRUE(open.sink.WaitForDeliveries(20, kLimit)) << open.sink.payloads().size();
  EXPECT_EQ(closed.sink.payloads().size(), 0u);
  open.SettleAll(Settlement::Verdict::kAck);
}

TEST_F(RabbitmqClosedTest, OneThatClosesForMomentsKeepsWhatItHas) {
  const auto broker = NewBroker();
  Joined joined(*broker, {"t"}, "m", Closed({"t"}));
  SendMany(*broker, 10);
  for (int i = 0; i < 10; ++i) {  // As a rate limit does.
    joined.sink.set_room({.messages = 1, .bytes = kLarge});
    joined.subscription->Wake();
    ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
    joined.sink.set_room(Closed({"t"}));
    joined.subscription->Wake();
    EXPECT_FALSE(joined.sink.payloads().empty());
    joined.Settle(Settlement::Verdict::kAck);
  }
}

TEST_F(RabbitmqClosedTest, WhatCameAheadOfWhatIsInHandStaysBehindIt) {
  const auto broker = NewBroker();
  Joined joined(*broker, {"t"}, "m", {.messages = 10, .bytes = kLarge});
  SendMany(*broker, 3);
  ASSERT_TRUE(joined.sink.WaitForDeliveries(3, kLimit));
  joined.sink.set_room(Closed({"t"}));
  joined.subscription->Wake();
  SendMany(*broker, 7);
  // It does not go on to consume: what comes later is others'.
  const auto other = NewBroker();
  Joined helper(*other, {"t"}, "n");
  ASSERT_TRUE(WaitUntil([&] {
    EXPECT_EQ(Send(*broker, "later"), absl::OkStatus());
    return joined.sink.payloads().size() == 3 && helper.sink.payloads().size() > 40;
  }));
  joined.sink.set_room({.messages = 1'000, .bytes = kLarge});
  joined.subscription->Wake();
  ASSERT_TRUE(joined.sink.WaitForDeliveries(10, kLimit));
  std::vector<std::string> first = joined.sink.payloads();
  first.resize(10);
  EXPECT_THAT(first, ElementsAre("0", "1", "2", "0", "1", "2", "3", "4", "5", "6"));
}

}  // namespace
}  // namespace messaging
