// The driver against real clusters: what the conformance suite does not know of Kafka.
#include "kafka/kafka_broker.h"

#include <librdkafka/rdkafka.h>

#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kafka/offsets.h"
#include "kafka/producer.h"
#include "kafka/reader.h"
#include "kafka/record.h"
#include "messaging/broker/testing/fake_sink.h"
#include "messaging/outgoing.h"
#include "tests/servers/kafka_server.h"

namespace messaging {
namespace {

using servers::KafkaCluster;
using ::testing::HasSubstr;

constexpr absl::Duration kLimit = absl::Seconds(60);

// One for most tests, which have topics of their own.
KafkaCluster& Cluster() {
  static KafkaCluster* const cluster = [] {
    auto* const made =
        new KafkaCluster({.properties = {"auto.create.topics.enable=false", "group.min.session.timeout.ms=1000"}});
    const absl::Status started = made->Start();
    EXPECT_TRUE(started.ok()) << started;
    return made;
  }();
  return *cluster;
}

std::string Url() { return absl::StrCat("kafka://", Cluster().bootstrap_servers()); }

std::shared_ptr<const KafkaOptions> Options(std::map<std::string, std::string> native = {}) {
  native.try_emplace("create_topics", "true");
  const auto options = ParseKafkaOptions({.url = Url(), .native = std::move(native), .client_name = "test"});
  EXPECT_TRUE(options.ok()) << options.status();
  return std::make_shared<const KafkaOptions>(*options);
}

std::unique_ptr<Broker> Connect(std::map<std::string, std::string> native = {},
                                std::map<std::string, TopicOptions> topics = {}) {
  auto broker = MakeKafkaBrokerFromUrl(
      {.url = Url(), .native = std::move(native), .topics = std::move(topics), .client_name = "test"});
  EXPECT_TRUE(broker.ok()) << broker.status();
  return *std::move(broker);
}

OutgoingPtr NewMessage(std::string topic, std::string payload, std::optional<std::string> key = std::nullopt) {
  return std::make_shared<Outgoing>(Message{.topic = std::move(topic),
                                            .payload = std::move(payload),
                                            .key = std::move(key),
                                            .id = "id",
                                            .timestamp = absl::Now()},
                                    absl::Now() + kLimit, nullptr);
}

absl::Status Send(Broker& broker, std::string topic, std::string payload) {
  const OutgoingPtr message = NewMessage(std::move(topic), std::move(payload));
  broker.Publish(message);
  EXPECT_TRUE(message->WaitUntil(message->deadline()));
  return message->result().status();
}

// All that a topic holds, by partition and offset.
std::vector<std::string> Everything(const std::string& topic) {
  kafka::Reader reader(Options());
  std::vector<std::string> all;
  const auto bounds = reader.Bounds(topic);
  EXPECT_TRUE(bounds.ok()) << bounds.status();
  if (!bounds.ok()) return all;
  const absl::Status read = reader.Read(*bounds, [&](const rd_kafka_message_t& message) {
    all.emplace_back(kafka::PayloadOf(message));
    return true;
  });
  EXPECT_TRUE(read.ok()) << read;
  return all;
}

// As an administrator does it.
void DeleteTopic(const std::string& topic) {
  const auto handle = kafka::MakeHandle(RD_KAFKA_PRODUCER, *Options(), {}, 0);
  rd_kafka_DeleteTopic_t* gone = rd_kafka_DeleteTopic_new(topic.c_str());
  const auto deleted = kafka::AskAdmin(handle->get(), *Options(), RD_KAFKA_ADMIN_OP_DELETETOPICS, kLimit,
                                       [&](rd_kafka_AdminOptions_t* request, rd_kafka_queue_t* answers) {
                                         rd_kafka_DeleteTopics(handle->get(), &gone, 1, request, answers);
                                       });
  rd_kafka_DeleteTopic_destroy(gone);
  EXPECT_TRUE(deleted.ok()) << deleted.status();
}

TEST(KafkaProducerTest, WhatIsAcceptedIsInItsNewTopic) {
  kafka::Producer producer(Options(), *kafka::Producer::MakeProducerHandle(*Options()));
  for (int i = 0; i < 60; ++i) {
    const std::string topic = absl::StrCat("new.", i);
    std::vector<OutgoingPtr> sent;
    for (int j = 0; j < 7; ++j) {
      sent.push_back(NewMessage(topic, absl::StrCat(j)));
      producer.Publish(sent.back());
    }
    std::set<std::pair<int32_t, int64_t>> places;
    for (const OutgoingPtr& message : sent) {
      ASSERT_TRUE(message->WaitUntil(message->deadline()));
      ASSERT_TRUE(message->result().ok()) << message->result().status();
      EXPECT_GE(message->result()->position, 0);
      EXPECT_TRUE(places.insert({message->result()->partition, message->result()->position}).second);
    }
    EXPECT_EQ(Everything(topic).size(), 7u) << topic;
  }
}

TEST(KafkaProducerTest, ABrokenSequenceIsBegunAnewAndNothingIsLost) {
  kafka::Producer producer(Options(), *kafka::Producer::MakeProducerHandle(*Options()));
  std::vector<OutgoingPtr> sent;
  for (int i = 0; i < 2'000; ++i) {
    if (i % 500 == 250) producer.BreakForTest();
    sent.push_back(NewMessage("broken", absl::StrCat(i), "one key"));
    producer.Publish(sent.back());
  }
  for (const OutgoingPtr& message : sent) {
    ASSERT_TRUE(message->WaitUntil(message->deadline()));
    EXPECT_TRUE(message->result().ok()) << message->result().status();
  }
  // What had no answer may be there twice, and all of it in order.
  std::set<std::string> seen;
  int last_new = -1;
  for (const std::string& payload : Everything("broken")) {
    if (!seen.insert(payload).second) continue;
    EXPECT_EQ(payload, absl::StrCat(++last_new));
  }
  EXPECT_EQ(seen.size(), 2'000u);
}

// A member of group "g" of some topics.
struct Joined {
  FakeSink sink;
  std::shared_ptr<Subscription> subscription;
  absl::Status started;

  Joined(Broker& broker, const std::string& topic, StartAt start_at = StartAt::kBeginning)
      : Joined(broker, std::vector<std::string>{topic}, start_at) {}
  Joined(Broker& broker, const std::vector<std::string>& topics, StartAt start_at = StartAt::kBeginning) {
    SubscribeOptions options = {.group = "g", .start_at = start_at};
    for (const std::string& topic : topics) options.topics.push_back({.topic = topic, .handlers = {"h"}});
    auto made = broker.Subscribe(options, &sink);
    EXPECT_TRUE(made.ok());
    subscription = *made;
    started = subscription->Start();
  }
  // So much room, and not for these topics.
  void SetRoom(size_t messages, std::vector<std::string> closed) {
    Room room = {.messages = messages, .bytes = size_t{1} << 30};
    if (!closed.empty()) room.closed = std::make_shared<const std::vector<std::string>>(std::move(closed));
    sink.set_room(std::move(room));
    subscription->Wake();
  }

  ~Joined() {
    subscription->StopFetching();  // Or what is given back comes again, and outlives it.
    for (Delivery& delivery : sink.TakeAll()) delivery = Delivery();
    (void)subscription->Close(absl::Now() + kLimit);
  }
};

// Of what a sink holds: letters of topics with the number that is next.
void AckAll(Joined& joined, std::map<char, int>& handled) {
  std::vector<Settlement> acks;
  for (Delivery& delivery : joined.sink.TakeAll()) {
    const std::string payload(delivery.record()->payload);
    const int number = handled[payload[0]]++;
    if (payload[0] != 'c') {  // That has many partitions.
      EXPECT_EQ(payload, absl::StrCat(payload.substr(0, 1), number));
    }
    acks.push_back(std::move(delivery).Ack());
  }
  joined.subscription->Settle(std::move(acks));
  joined.subscription->Wake();
}

// Until so many more are handled.
void AckSome(Joined& joined, std::map<char, int>& handled, int count) {
  const auto total = [&] { return handled['a'] + handled['b'] + handled['c']; };
  const int wanted = total() + count;
  const absl::Time end = absl::Now() + kLimit;
  while (total() < wanted && absl::Now() < end) {
    if (joined.sink.WaitForDeliveries(1, absl::Seconds(1))) AckAll(joined, handled);
  }
  EXPECT_GE(total(), wanted);
}

// Returns when the member has looked at its room again.
void AwaitRound(Joined& joined, Delivery& held) {
  (void)joined.sink.TakeAnswers();
  std::vector<Settlement> begin;
  begin.push_back(std::move(held).Begin("h", 1));
  joined.subscription->Settle(std::move(begin));
  while (held.record() == nullptr) {
    ASSERT_TRUE(joined.sink.WaitForAnswers(1, kLimit));
    for (Settlement& answer : joined.sink.TakeAnswers()) {
      if (answer.verdict == Settlement::Verdict::kBegin) held = std::move(answer.delivery);
    }
  }
}

// Whatever was read ahead of topics that are closed waits, in order, while others go on; however often they change, and
// with more partitions than are kept.
TEST(KafkaConsumerTest, ClosedTopicsWaitAndOthersGoOn) {
  constexpr int kMessages = 3'000;
  const std::vector<std::string> topics = {"a", "b", "c"};
  const auto broker = Connect({}, {{"a", {.partitions = 1}}, {"b", {.partitions = 1}}, {"c", {.partitions = 12}}});
  for (const std::string& topic : topics) {
    std::vector<OutgoingPtr> sent;
    for (int i = 0; i < kMessages; ++i) {
      sent.push_back(NewMessage(topic, absl::StrCat(topic, i)));
      broker->Publish(sent.back());
    }
    for (const OutgoingPtr& message : sent) {
      ASSERT_TRUE(message->WaitUntil(message->deadline()));
      ASSERT_TRUE(message->result().ok()) << message->result().status();
    }
  }
  Joined joined(*broker, topics);
  ASSERT_TRUE(joined.started.ok()) << joined.started;
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
  Delivery held = joined.sink.TakeFirst();
  std::map<char, int> handled = {{'a', 0}, {'b', 0}, {'c', 0}};
  ++handled[held.record()->payload[0]];
  for (const std::string letters : {"a", "ab", "b", "c", "", "ac", "bc", "a", "b", "c", ""}) {
    std::vector<std::string> closed;
    for (const char letter : letters) closed.emplace_back(1, letter);
    joined.SetRoom(0, closed);
    AwaitRound(joined, held);
    AckAll(joined, handled);
    joined.SetRoom(100, closed);
    const std::map<char, int> before = handled;
    int left = 0;
    for (const std::string& topic : topics) {
      if (letters.find(topic) == std::string::npos) left += kMessages - handled[topic[0]];
    }
    AckSome(joined, handled, letters.empty() ? left : std::min(left, 450));
    for (const char letter : letters) EXPECT_EQ(handled[letter], before.at(letter)) << "closed: " << letters;
  }
  for (const auto& [letter, count] : handled) EXPECT_EQ(count, kMessages) << letter;
}

TEST(KafkaConsumerTest, PartitionsThatAreAddedAreReadFromTheirBeginning) {
  const auto broker = Connect({{"topic.metadata.refresh.interval.ms", "500"}}, {{"grows", {.partitions = 1}}});
  Joined joined(*broker, "grows", StartAt::kNow);
  ASSERT_TRUE(joined.started.ok()) << joined.started;
  {
    const auto handle = kafka::MakeHandle(RD_KAFKA_PRODUCER, *Options(), {}, 0);
    char why[256];
    rd_kafka_NewPartitions_t* more = rd_kafka_NewPartitions_new("grows", 3, why, sizeof(why));
    const auto added = kafka::AskAdmin(handle->get(), *Options(), RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, kLimit,
                                       [&](rd_kafka_AdminOptions_t* request, rd_kafka_queue_t* answers) {
                                         rd_kafka_CreatePartitions(handle->get(), &more, 1, request, answers);
                                       });
    rd_kafka_NewPartitions_destroy(more);
    ASSERT_TRUE(added.ok()) << added.status();
  }
  const auto sender = Connect();
  for (int i = 0; i < 60; ++i) {
    const OutgoingPtr message = NewMessage("grows", absl::StrCat(i), absl::StrCat(i));
    sender->Publish(message);
    ASSERT_TRUE(message->WaitUntil(message->deadline()));
  }
  EXPECT_TRUE(joined.sink.WaitForDeliveries(60, kLimit)) << joined.sink.payloads().size();
}

// Though the new one already holds more than was read of the old one: no offset of that says anything of it.
TEST(KafkaConsumerTest, ATopicThatIsMadeAnewIsReadFromItsBeginning) {
  const auto broker = Connect({}, {{"anew", {.partitions = 1}}});
  Joined joined(*broker, "anew");
  ASSERT_TRUE(joined.started.ok()) << joined.started;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Send(*broker, "anew", absl::StrCat("old", i)), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(5, kLimit));
  std::vector<Settlement> acks;
  for (Delivery& delivery : joined.sink.TakeAll()) acks.push_back(std::move(delivery).Ack());
  joined.subscription->Settle(std::move(acks));
  ASSERT_TRUE(joined.sink.WaitForAnswers(5, kLimit));
  DeleteTopic("anew");
  const auto sender = Connect({}, {{"anew", {.partitions = 1}}});
  std::set<std::string> left;
  for (int i = 0; i < 20; ++i) {
    left.insert(absl::StrCat("new", i));
    EXPECT_EQ(Send(*sender, "anew", absl::StrCat("new", i)), absl::OkStatus());
  }
  const absl::Time end = absl::Now() + kLimit;
  while (!left.empty() && absl::Now() < end) {
    if (!joined.sink.WaitForDeliveries(1, absl::Seconds(1))) continue;
    std::vector<Settlement> more;
    for (Delivery& delivery : joined.sink.TakeAll()) {
      left.erase(std::string(delivery.record()->payload));
      more.push_back(std::move(delivery).Ack());
    }
    joined.subscription->Settle(std::move(more));
  }
  EXPECT_THAT(left, ::testing::IsEmpty());
}

// What group "g" has written for a partition.
kafka::Offsets Committed(const std::string& topic, int32_t partition) {
  const auto handle = kafka::MakeHandle(RD_KAFKA_CONSUMER, *Options(), {{"group.id", "g"}}, 0);
  const kafka::PartitionList one(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(one.get(), topic.c_str(), partition);
  EXPECT_EQ(rd_kafka_committed(handle->get(), one.get(), 30'000), RD_KAFKA_RESP_ERR_NO_ERROR);
  return kafka::Offsets::Resume(one->elems[0].offset,
                                {static_cast<const char*>(one->elems[0].metadata), one->elems[0].metadata_size});
}

// Holds what it is given until partitions are taken away. Then it acknowledges what it has of them, and begins the
// rest: in the moment when only the former are committed.
class BeginsWhileOthersLeave : public FakeSink {
 public:
  void Withdraw(std::function<bool(const Record&)> which) override {
    std::vector<Settlement> batch;
    size_t leaving = 0;
    for (Delivery& delivery : TakeAll()) {
      const bool leaves = which(*delivery.record());
      leaving += leaves ? 1 : 0;
      batch.push_back(leaves ? std::move(delivery).Ack() : std::move(delivery).Begin("h", 1));
    }
    std::vector<Delivery> kept;
    if (leaving == 0) {  // Other topics'.
      for (Settlement& settlement : batch) kept.push_back(std::move(settlement.delivery));
      return Deliver(std::move(kept));
    }
    subscription->Settle(std::move(batch));
  }
  void Settled(std::vector<Settlement> batch) override {
    for (const Settlement& answer : batch) {
      if (answer.verdict != Settlement::Verdict::kBegin) continue;
      const auto& record = static_cast<const kafka::KafkaRecord&>(*answer.delivery.record());
      const kafka::Offsets stored = Committed("leaves", record.message->partition);
      noted = noted.value_or(true) && stored.FindNote(record.message->offset) != nullptr;
    }
    FakeSink::Settled(std::move(batch));
  }

  std::shared_ptr<Subscription> subscription;
  std::optional<bool> noted;  // Was each attempt with the server when its Begin was answered?
};

TEST(KafkaConsumerTest, ABeginIsAnsweredWhenItsOwnPartitionIsCommitted) {
  constexpr size_t kMessages = 60;
  const auto broker = Connect({{"commit_interval", "10m"}}, {{"leaves", {.partitions = 12}}});
  for (size_t i = 0; i < kMessages; ++i) {
    const OutgoingPtr message = NewMessage("leaves", "m", absl::StrCat(i));
    broker->Publish(message);
    ASSERT_TRUE(message->WaitUntil(message->deadline()));
  }
  BeginsWhileOthersLeave sink;
  const auto made = broker->Subscribe({.group = "g", .topics = {{.topic = "leaves", .handlers = {"h"}}}}, &sink);
  ASSERT_TRUE(made.ok()) << made.status();
  sink.subscription = *made;
  ASSERT_EQ(sink.subscription->Start(), absl::OkStatus());
  ASSERT_TRUE(sink.WaitForDeliveries(kMessages, kLimit));
  Joined other(*broker, "leaves");
  EXPECT_TRUE(other.started.ok()) << other.started;
  EXPECT_TRUE(sink.WaitForAnswers(kMessages, kLimit));
  EXPECT_EQ(sink.noted, true);
  sink.subscription->StopFetching();
  for (Settlement& answer : sink.TakeAnswers()) answer.delivery = Delivery();
  EXPECT_EQ(sink.subscription->Close(absl::Now() + kLimit), absl::OkStatus());
}

TEST(KafkaConsumerTest, AMemberSaysHowManyPartitionsItHas) {
  const auto broker = Connect({}, {{"counted", {.partitions = 2}}});
  const auto has = [](int partitions) {
    return [partitions](const Assignment& now) { return now.missing.empty() && now.partitions == partitions; };
  };
  Joined first(*broker, "counted");
  ASSERT_TRUE(first.started.ok()) << first.started;
  EXPECT_TRUE(first.sink.WaitForAssignment(has(2), kLimit)) << first.sink.assignment().partitions;
  {
    Joined second(*broker, "counted");
    Joined third(*broker, "counted");
    const auto shared_out = [&] {
      std::multiset<int> each;
      for (const Joined* member : {&first, &second, &third}) each.insert(member->sink.assignment().partitions);
      return each == std::multiset<int>{0, 1, 1};
    };
    const absl::Time end = absl::Now() + kLimit;
    while (!shared_out() && absl::Now() < end) absl::SleepFor(absl::Milliseconds(20));
    EXPECT_TRUE(shared_out());
    for (const Joined* member : {&first, &second, &third}) EXPECT_EQ(member->sink.assignment().missing, "");
  }
  EXPECT_TRUE(first.sink.WaitForAssignment(has(2), kLimit)) << first.sink.assignment().partitions;
}

// Other handlers may be reading it.
TEST(KafkaConsumerTest, ABeginThatComesTooLateLeavesTheRecord) {
  const auto broker = Connect({{"create_topics", "true"}});
  Joined joined(*broker, "late");
  ASSERT_TRUE(joined.started.ok()) << joined.started;
  EXPECT_EQ(Send(*broker, "late", "m"), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
  Delivery delivery = joined.sink.TakeFirst();
  EXPECT_EQ(joined.subscription->Close(absl::Now() + kLimit), absl::OkStatus());
  std::vector<Settlement> begin;
  begin.push_back(std::move(delivery).Begin("h", 1));
  joined.subscription->Settle(std::move(begin));
  ASSERT_TRUE(joined.sink.WaitForAnswers(1, kLimit));
  const std::vector<Settlement> answers = joined.sink.TakeAnswers();
  EXPECT_TRUE(absl::IsCancelled(answers[0].status)) << answers[0].status;
  ASSERT_NE(answers[0].delivery.record(), nullptr);
  EXPECT_EQ(answers[0].delivery.record()->payload, "m");
}

TEST(KafkaTopicsTest, ARemovedTopicTakesItsGroupsPlacesAlong) {
  const auto broker = Connect({{"create_topics", "true"}});
  const std::vector<std::string> named = {"pay.s_x", "pay.s_x.2"};
  for (const std::string& topic : named) {
    for (const char* group : {"a", "b_c"}) {
      ASSERT_EQ(broker->admin().Declare({.topic = topic, .groups = {group}}), absl::OkStatus());
    }
  }
  ASSERT_EQ(broker->admin().Remove(named[0]), absl::OkStatus());
  kafka::Reader reader(Options());
  const auto names = reader.TopicNames();
  ASSERT_TRUE(names.ok()) << names.status();
  std::vector<std::string> left;
  for (const std::string& name : *names) {
    if (name.find("pay.s_x") != std::string::npos) left.push_back(name);
  }
  EXPECT_EQ(left.size(), 1u + 2 * 2) << "the other topic's: itself, and each group's places";
  for (const std::string& name : left) EXPECT_THAT(name, HasSubstr(named[1]));
}

TEST(KafkaProducerTest, ATopicThatIsGoneIsMadeAnew) {
  const auto broker = Connect({{"create_topics", "true"}, {"topic.metadata.refresh.interval.ms", "500"}});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Send(*broker, "again", "old"), absl::OkStatus());
  DeleteTopic("again");
  // The server takes some for the old one after it has said that it is deleted: those go on counting.
  for (int anew = 0; anew < 3;) {
    const OutgoingPtr message = NewMessage("again", "new");
    broker->Publish(message);
    ASSERT_TRUE(message->WaitUntil(message->deadline()));
    ASSERT_TRUE(message->result().ok()) << message->result().status();
    if (message->result()->position < 5) ++anew;
  }
  EXPECT_EQ(Everything("again"), std::vector<std::string>(3, "new"));
}

TEST(KafkaConsumerTest, AbortedTransactionsOfOthersAreNotSeen) {
  const auto broker = Connect({{"create_topics", "true"}});
  Joined joined(*broker, "transactions");
  ASSERT_TRUE(joined.started.ok()) << joined.started;
  {
    const auto other = kafka::MakeHandle(RD_KAFKA_PRODUCER, *Options(), {{"transactional.id", "other"}}, 0);
    ASSERT_TRUE(other.ok()) << other.status();
    const auto check = [](rd_kafka_error_t* error) {
      EXPECT_EQ(error, nullptr) << rd_kafka_error_string(error);
      if (error != nullptr) rd_kafka_error_destroy(error);
    };
    check(rd_kafka_init_transactions(other->get(), 30'000));
    for (const char* payload : {"aborted", "committed"}) {
      check(rd_kafka_begin_transaction(other->get()));
      for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(rd_kafka_producev(other->get(), RD_KAFKA_V_TOPIC("transactions"), RD_KAFKA_V_PARTITION(0),
                                    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                    RD_KAFKA_V_VALUE(const_cast<char*>(payload), strlen(payload)), RD_KAFKA_V_END),
                  RD_KAFKA_RESP_ERR_NO_ERROR);
      }
      rd_kafka_flush(other->get(), 10'000);
      check(*payload == 'a' ? rd_kafka_abort_transaction(other->get(), 30'000)
                            : rd_kafka_commit_transaction(other->get(), 30'000));
    }
  }
  ASSERT_TRUE(joined.sink.WaitForDeliveries(3, kLimit));
  for (const std::string& payload : joined.sink.payloads()) EXPECT_EQ(payload, "committed");
}

TEST(KafkaTopicsTest, AMissingTopicIsAnErrorWithItsCure) {
  const auto broker = Connect({{"topic.metadata.propagation.max.ms", "300"}});
  const absl::Status refused = Send(*broker, "missing", "m");
  EXPECT_EQ(refused.code(), absl::StatusCode::kNotFound) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("core topics declare missing"));
  FakeSink sink;
  auto subscription = broker->Subscribe({.group = "g", .topics = {{.topic = "missing"}}}, &sink);
  ASSERT_TRUE(subscription.ok());
  const absl::Status started = (*subscription)->Start();
  EXPECT_EQ(started.code(), absl::StatusCode::kNotFound) << started;
  EXPECT_THAT(std::string(started.message()), HasSubstr("core topics declare"));
  EXPECT_TRUE((*subscription)->Close(absl::Now() + kLimit).ok());
}

TEST(KafkaTopicsTest, AConfiguredTopicIsMadeAsItIsDescribed) {
  const auto broker = Connect({}, {{"described", {.partitions = 3, .settings = {{"retention.ms", "3600000"}}}}});
  EXPECT_EQ(Send(*broker, "described", "m"), absl::OkStatus());
  const auto topics = broker->admin().Topics("described");
  ASSERT_TRUE(topics.ok()) << topics.status();
  ASSERT_EQ(topics->size(), 1u);
  EXPECT_EQ((*topics)[0].partitions, 3);
  EXPECT_EQ((*topics)[0].settings.at("retention.ms"), "3600000");
  const absl::Status other = broker->admin().Declare({.topic = "described", .options = {.partitions = 5}});
  EXPECT_EQ(other.code(), absl::StatusCode::kAlreadyExists) << other;
}

}  // namespace
}  // namespace messaging
