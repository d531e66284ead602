// A bad network between a client and a real server.
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "messaging/outgoing.h"
#include "rabbitmq/testing/with_server.h"
#include "tests/faultproxy/fault_proxy.h"

namespace messaging {
namespace {

using faultproxy::FaultProxy;
using faultproxy::Faults;
using rabbitmq_testing::Connect;
using rabbitmq_testing::Joined;
using rabbitmq_testing::kLimit;
using rabbitmq_testing::NewMessage;
using rabbitmq_testing::Other;
using rabbitmq_testing::Send;
using rabbitmq_testing::SendMany;
using rabbitmq_testing::WaitUntil;

class RabbitmqNetworkTest : public rabbitmq_testing::WithServer {
 protected:
  RabbitmqNetworkTest() : proxy_(server().port()) {}
  void SetBoth(const Faults& faults) {
    proxy_.SetToServer(faults);
    proxy_.SetToClient(faults);
  }
  std::unique_ptr<Broker> ThroughProxy(std::map<std::string, std::string> native = {}) const {
    auto broker =
        Connect(absl::StrCat("amqp://guest:guest@127.0.0.1:", proxy_.port(), "/", virtual_host_), std::move(native));
    EXPECT_TRUE(broker.ok()) << broker.status();
    return *std::move(broker);
  }

  FaultProxy proxy_;
};

TEST_F(RabbitmqNetworkTest, SilenceIsNoticedAndSendsEndByTheirDeadlines) {
  const auto broker = ThroughProxy({{"heartbeat", "1s"}, {"connect_timeout", "1s"}});
  Joined joined(*broker);
  ASSERT_EQ(Send(*broker, "before"), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
  SetBoth({.silent = true});
  const absl::Status hasty = Send(*broker, "hasty", "t", absl::Seconds(1));
  EXPECT_EQ(hasty.code(), absl::StatusCode::kDeadlineExceeded) << hasty;
  const OutgoingPtr patient = NewMessage("patient");
  broker->Publish(patient);
  ASSERT_TRUE(WaitUntil([&] { return joined.sink.revokes() > 0; })) << "nobody closed the connection";
  proxy_.Heal();
  ASSERT_TRUE(patient->WaitUntil(patient->deadline()));
  EXPECT_EQ(patient->result().status(), absl::OkStatus());
  std::set<std::string> seen;
  EXPECT_TRUE(WaitUntil([&] {
    seen.merge(joined.SettleAll(Settlement::Verdict::kAck));
    joined.subscription->Wake();
    return seen.contains("before") && seen.contains("patient");
  }));
}

TEST_F(RabbitmqNetworkTest, WhatWasNotAnsweredIsSentAgain) {
  constexpr int kMessages = 200;
  const auto broker = ThroughProxy();
  const auto straight = NewBroker();
  Joined joined(*straight);
  ASSERT_EQ(Send(*broker, "before"), absl::OkStatus());
  proxy_.SetToClient({.silent = true});
  std::vector<OutgoingPtr> messages;
  for (int i = 0; i < kMessages; ++i) {
    messages.push_back(NewMessage(absl::StrCat(i)));
    broker->Publish(messages.back());
  }
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1 + kMessages, kLimit)) << "the server has them";
  ASSERT_TRUE(proxy_.AwaitUnheard(1, kLimit)) << "and confirms them";
  for (const OutgoingPtr& message : messages) EXPECT_FALSE(message->resolved());
  proxy_.Reset();
  proxy_.Heal();
  for (const OutgoingPtr& message : messages) {
    ASSERT_TRUE(message->WaitUntil(message->deadline()));
    ASSERT_EQ(message->result().status(), absl::OkStatus());
  }
  EXPECT_EQ(joined.AcknowledgeAll(1 + kMessages).size(), 1u + kMessages);
}

TEST_F(RabbitmqNetworkTest, BytesThatComeOneByOneAreTheSame) {
  SetBoth({.slice = 1});
  const auto broker = ThroughProxy();
  Joined joined(*broker);
  ASSERT_EQ(joined.started, absl::OkStatus());
  SendMany(*broker, 20);
  EXPECT_EQ(Send(*broker, std::string(5'000, 'x')), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(21, kLimit));
  const std::vector<std::string> payloads = joined.sink.payloads();
  ASSERT_EQ(payloads.size(), 21u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(payloads[i], absl::StrCat(i));
  EXPECT_EQ(payloads[20], std::string(5'000, 'x'));
  joined.SettleAll(Settlement::Verdict::kAck);
  EXPECT_EQ(joined.sink.revokes(), 0u);
}

// Log-in, declarations and messages, each cut somewhere.
TEST_F(RabbitmqNetworkTest, AConnectionMayEndAfterAnyByte) {
  const auto straight = NewBroker();
  Joined joined(*straight);
  int cut = 0;
  for (int64_t bytes = 0; bytes < 1'500; bytes = bytes * 5 / 4 + 1, ++cut) {
    SetBoth({.cut_after = bytes});
    const auto broker = ThroughProxy({{"connect_timeout", "1s"}, {"start_timeout", "200ms"}});
    (void)Send(*broker, "cut", "t", absl::Milliseconds(200));  // It may get through.
    proxy_.Heal();
    ASSERT_EQ(Send(*broker, absl::StrCat("after ", cut)), absl::OkStatus()) << bytes;
  }
  std::set<std::string> seen;
  EXPECT_TRUE(WaitUntil([&] {
    seen.merge(joined.SettleAll(Settlement::Verdict::kAck));
    return seen.size() - seen.count("cut") == static_cast<size_t>(cut);
  }));
}

TEST_F(RabbitmqNetworkTest, ASlowNetworkCostsNothingButTime) {
  constexpr size_t kMessages = 60;
  const auto broker = ThroughProxy();
  Joined joined(*broker);
  ASSERT_EQ(joined.started, absl::OkStatus());
  SetBoth({.delay = absl::Milliseconds(200), .jitter = absl::Milliseconds(100), .bytes_per_second = 32'000});
  const int64_t connections = proxy_.accepted();
  std::vector<OutgoingPtr> messages;
  for (size_t i = 0; i < kMessages; ++i) {
    messages.push_back(NewMessage(absl::StrCat(std::string(1'000, 'x'), i)));
    broker->Publish(messages.back());
  }
  for (const OutgoingPtr& message : messages) {
    ASSERT_TRUE(message->WaitUntil(message->deadline()));
    EXPECT_EQ(message->result().status(), absl::OkStatus());
  }
  ASSERT_TRUE(joined.sink.WaitForDeliveries(kMessages, kLimit));
  joined.SettleAll(Settlement::Verdict::kAck);
  Other other(server(), virtual_host_);
  EXPECT_EQ(other.Ready("g/t"), 0) << "none is there twice";
  EXPECT_EQ(joined.sink.revokes(), 0u);
  EXPECT_LE(proxy_.accepted(), connections + 1) << "the sender's own";
}

}  // namespace
}  // namespace messaging
