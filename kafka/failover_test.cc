// Three brokers, of which one after the other is killed under load: what was accepted is delivered, in each key's
// order.
#include <atomic>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "kafka/handle.h"
#include "kafka/kafka_broker.h"
#include "messaging/broker/testing/fake_sink.h"
#include "messaging/outgoing.h"
#include "tests/servers/kafka_server.h"

namespace messaging {
namespace {

using servers::KafkaCluster;

constexpr absl::Duration kLimit = absl::Minutes(3);
constexpr int kMessages = 6'000;
constexpr int kKeys = 20;
constexpr absl::Duration kPace = absl::Milliseconds(3);

// Which of the cluster's brokers leads the topic's first partition.
int LeaderOf(const KafkaCluster& cluster, const std::string& topic) {
  const KafkaOptions options{.servers = cluster.bootstrap_servers()};
  const auto handle = kafka::MakeHandle(RD_KAFKA_PRODUCER, options, {}, 0);
  const auto metadata = kafka::AskMetadata(handle->get(), options, &topic, kLimit);
  EXPECT_TRUE(metadata.ok()) << metadata.status();
  return (*metadata)->topics[0].partitions[0].leader - 1;  // They are numbered from 1.
}

// Acknowledges all that it is given, and notes it.
class Handled : public FakeSink {
 public:
  void Deliver(std::vector<Delivery> batch) override {
    std::vector<Settlement> acks;
    for (Delivery& delivery : batch) {
      int number = 0;
      EXPECT_TRUE(absl::SimpleAtoi(delivery.record()->payload, &number));
      if (seen_.insert(number).second) {
        int& last = last_.try_emplace(number % kKeys, -1).first->second;
        EXPECT_GT(number, last) << "order of key " << number % kKeys;
        last = number;
      } else {
        ++repeated_;
      }
      acks.push_back(std::move(delivery).Ack());
    }
    count_ = static_cast<int>(seen_.size());
    subscription->Settle(std::move(acks));
  }

  std::shared_ptr<Subscription> subscription;
  int count() const { return count_; }
  // When it is closed.
  const std::set<int>& seen() const { return seen_; }
  int repeated() const { return repeated_; }

 private:
  std::atomic<int> count_{0};
  std::set<int> seen_;
  std::map<int, int> last_;  // Of each key.
  int repeated_ = 0;
};

bool Await(const std::function<bool()>& what) {
  const absl::Time end = absl::Now() + kLimit;
  while (!what() && absl::Now() < end) absl::SleepFor(absl::Milliseconds(20));
  return what();
}

TEST(KafkaFailoverTest, LeadersAreKilledUnderLoad) {
  KafkaCluster cluster({.brokers = 3});
  ASSERT_EQ(cluster.Start(), absl::OkStatus());
  auto broker = MakeKafkaBrokerFromUrl({.url = absl::StrCat("kafka://", cluster.bootstrap_servers()),
                                        .topics = {{"t", {.partitions = 4, .replicas = 3}}},
                                        .client_name = "test"});
  ASSERT_TRUE(broker.ok()) << broker.status();
  Handled handled;
  const auto made = (*broker)->Subscribe({.group = "g", .topics = {{.topic = "t", .handlers = {"h"}}}}, &handled);
  ASSERT_TRUE(made.ok()) << made.status();
  handled.subscription = *made;
  ASSERT_EQ((*made)->Start(), absl::OkStatus());
  std::vector<OutgoingPtr> sent;
  std::thread sender([&] {
    for (int i = 0; i < kMessages; ++i) {
      sent.push_back(std::make_shared<Outgoing>(
          Message{.topic = "t", .payload = absl::StrCat(i), .key = absl::StrCat(i % kKeys), .timestamp = absl::Now()},
          absl::Now() + kLimit, nullptr));
      (*broker)->Publish(sent.back());
      absl::SleepFor(kPace);
    }
  });
  for (int kill = 0; kill < 2; ++kill) {
    const int before = handled.count();
    EXPECT_TRUE(Await([&] { return handled.count() > before + 200; })) << handled.count();
    const int leader = LeaderOf(cluster, "t");
    cluster.server(leader).Kill();
    const int at = handled.count();
    const absl::Time killed = absl::Now();
    EXPECT_TRUE(Await([&] { return handled.count() > at + 200; })) << "with two of three";
    std::printf("broker %d killed; 200 messages later: %s\n", leader,
                absl::FormatDuration(absl::Now() - killed).c_str());
    ASSERT_EQ(cluster.server(leader).StartAgain(), absl::OkStatus());
  }
  sender.join();
  int accepted = 0;
  for (const OutgoingPtr& message : sent) {
    EXPECT_TRUE(message->WaitUntil(message->deadline()));
    EXPECT_TRUE(message->result().ok()) << message->result().status();
    accepted += message->result().ok() ? 1 : 0;
  }
  EXPECT_TRUE(Await([&] { return handled.count() >= accepted; })) << handled.count() << " of " << accepted;
  EXPECT_EQ((*made)->Close(absl::Now() + kLimit), absl::OkStatus());
  EXPECT_EQ(handled.seen().size(), sent.size());
  std::printf("%d accepted, %zu handled, %d repeated\n", accepted, handled.seen().size(), handled.repeated());
}

}  // namespace
}  // namespace messaging
