// The ways in which a service may come to a cluster: kinds of credentials, of certificates, of membership. Each carries
// messages there and back, intact.
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kafka/kafka_broker.h"
#include "messaging/broker/testing/fake_sink.h"
#include "messaging/outgoing.h"
#include "tests/servers/kafka_server.h"

namespace messaging {
namespace {

using servers::KafkaCluster;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAreArray;

constexpr absl::Duration kLimit = absl::Seconds(60);
constexpr char kSasl[] = "SASL_PLAINTEXT";

KafkaCluster& Cluster() {
  static KafkaCluster* const cluster = [] {
    const std::string users =
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_service=\"right\";";
    auto* const made =
        new KafkaCluster({.properties = {"sasl.enabled.mechanisms=PLAIN",
                                         absl::StrCat("listener.name.sasl_plaintext.plain.sasl.jaas.config=", users),
                                         absl::StrCat("listener.name.sasl_ssl.plain.sasl.jaas.config=", users),
                                         "listener.name.ssl.ssl.client.auth=required"},
                          .listeners = {kSasl, "SSL", "SASL_SSL"}});
    const absl::Status started = made->Start();
    EXPECT_TRUE(started.ok()) << started;
    return made;
  }();
  return *cluster;
}

using Native = std::map<std::string, std::string>;

struct Way {
  std::string name, url;
  Native native;
};

std::string SaslUrl(const std::string& credentials) {
  return absl::StrCat("kafka://", credentials, "@", Cluster().bootstrap_servers(kSasl));
}
std::string TlsUrl() { return absl::StrCat("kafka+ssl://", Cluster().bootstrap_servers("SSL")); }
Native Certificate() {
  return {{"ssl.ca.location", Cluster().ca_file()},
          {"ssl.certificate.location", Cluster().client_certificate_file()},
          {"ssl.key.location", Cluster().client_key_file()}};
}

std::vector<Way> Ways() {
  const std::string plain = absl::StrCat("kafka://", Cluster().bootstrap_servers());
  std::vector<Way> ways = {{"sasl", SaslUrl("service:right"), {}},
                           {"sasl-tls",
                            absl::StrCat("kafka+ssl://service:right@", Cluster().bootstrap_servers("SASL_SSL")),
                            {{"ssl.ca.location", Cluster().ca_file()}}},
                           {"certificate", TlsUrl(), Certificate()},
                           {"static", plain, {{"group.instance.id", "one"}}},
                           {"protocol", plain, {{"group.protocol", "consumer"}}}};
  for (const char* codec : {"gzip", "snappy", "lz4", "zstd"})
    ways.push_back({codec, plain, {{"compression.type", codec}}});
  return ways;
}

std::unique_ptr<Broker> Connect(Way way) {
  way.native.try_emplace("create_topics", "true");
  auto broker = MakeKafkaBrokerFromUrl({.url = way.url, .native = way.native, .client_name = "test"});
  EXPECT_TRUE(broker.ok()) << way.name << ": " << broker.status();
  return broker.ok() ? *std::move(broker) : nullptr;
}

absl::Status Send(Broker& broker, Message message, absl::Duration limit = kLimit) {
  const auto outgoing = std::make_shared<Outgoing>(std::move(message), absl::Now() + limit, nullptr);
  broker.Publish(outgoing);
  EXPECT_TRUE(outgoing->WaitUntil(outgoing->deadline()));
  return outgoing->result().status();
}

// What must come back as it was sent.
std::vector<Message> Awkward(const std::string& topic) {
  return {{.topic = topic, .payload = std::string(10'000, 'x'), .key = "key", .id = "1"},
          {.topic = topic, .null_payload = true, .key = "gone", .id = "2"},
          {.topic = topic, .key = "empty", .id = "3"},
          {.topic = topic, .payload = std::string("\0\xff", 2), .key = "", .id = "4"},
          {.topic = topic,
           .payload = "headers",
           .key = "headers",
           .headers = {{"same", "1"}, {"same", "2"}, {"", "no name"}, {"no value", ""}, {"same", std::string(1, '\0')}},
           .id = "5"}};
}

// A message, to be compared: key, payload, headers.
std::string Line(const std::optional<std::string>& key, bool null_payload, const std::string& payload,
                 const std::vector<Header>& headers) {
  std::vector<std::string> pairs;
  for (const auto& [name, value] : headers) {
    pairs.push_back(absl::StrCat(absl::BytesToHexString(name), "=", absl::BytesToHexString(value)));
  }
  return absl::StrCat(key ? absl::BytesToHexString(*key) : "-", "|",
                      null_payload ? "-" : absl::BytesToHexString(payload), "|", absl::StrJoin(pairs, ","));
}
std::string Line(const Message& message) {
  return Line(message.key, message.null_payload, message.payload, message.headers);
}

// What is delivered until there are so many, settled.
std::vector<std::string> Consume(Broker& broker, const std::string& topic, size_t count) {
  FakeSink sink;
  std::vector<std::string> lines;
  const auto made = broker.Subscribe({.group = "g", .topics = {{.topic = topic, .handlers = {"h"}}}}, &sink);
  EXPECT_TRUE(made.ok()) << made.status();
  const absl::Status started = (*made)->Start();
  EXPECT_EQ(started, absl::OkStatus());
  EXPECT_TRUE(started.ok() && sink.WaitForDeliveries(count, kLimit));
  std::vector<Settlement> acks;
  for (Delivery& delivery : sink.TakeAll()) {
    Record& record = *delivery.record();
    record.LoadMetadata();
    std::vector<Header> headers;
    for (const HeaderView& header : record.headers) headers.emplace_back(header.name, header.value);
    lines.push_back(Line(record.has_key ? std::optional<std::string>(record.key) : std::nullopt, record.null_payload,
                         std::string(record.payload), headers));
    acks.push_back(std::move(delivery).Ack());
  }
  (*made)->Settle(std::move(acks));
  EXPECT_TRUE(sink.WaitForAnswers(lines.size(), kLimit));
  EXPECT_EQ((*made)->Close(absl::Now() + kLimit), absl::OkStatus());
  return lines;
}

// What it is that every way must carry.
std::vector<std::string> SendAwkward(Broker& broker, const std::string& topic) {
  std::vector<std::string> lines;
  for (const Message& message : Awkward(topic)) {
    EXPECT_EQ(Send(broker, message), absl::OkStatus()) << message.id;
    lines.push_back(Line(message));
  }
  return lines;
}

TEST(KafkaAccessTest, EachCarriesMessagesThereAndBack) {
  for (const Way& way : Ways()) {
    SCOPED_TRACE(way.name);
    const std::unique_ptr<Broker> broker = Connect(way);
    if (broker == nullptr) continue;
    const std::string topic = absl::StrCat("way.", way.name);
    const std::vector<std::string> sent = SendAwkward(*broker, topic);
    EXPECT_THAT(Consume(*broker, topic, sent.size()), UnorderedElementsAreArray(sent));
  }
}

TEST(KafkaAccessTest, WhoShowsNothingIsNotLetIn) {
  Native without = Certificate();
  without.erase("ssl.certificate.location");
  without.erase("ssl.key.location");
  for (const Way& way : std::vector<Way>{{"wrong password", SaslUrl("service:wrong"), {}},
                                         {"another user", SaslUrl("nobody:right"), {}},
                                         {"no certificate", TlsUrl(), without}}) {
    SCOPED_TRACE(way.name);
    const std::unique_ptr<Broker> broker = Connect(way);
    ASSERT_NE(broker, nullptr);
    const absl::Status ping = broker->Ping(kLimit);
    EXPECT_EQ(ping.code(), absl::StatusCode::kUnauthenticated) << ping;
    EXPECT_THAT(std::string(ping.message()), ::testing::Not(HasSubstr("wrong"))) << "a secret";
    const absl::Status sent = Send(*broker, {.topic = "none", .payload = "m"});
    EXPECT_EQ(sent.code(), absl::StatusCode::kUnauthenticated) << sent;
  }
}

// Each is told why, the first and those that come after librdkafka has said it, which it does every half a minute only:
// none waits until its deadline.
TEST(KafkaAccessTest, EachSendIsToldThatTheServerIsNotTrusted) {
  for (const char* const create_topics : {"false", "true"}) {
    const std::unique_ptr<Broker> broker = Connect({"untrusted", TlsUrl(), {{"create_topics", create_topics}}});
    for (int i = 0; i < 4; ++i) {
      const absl::Status sent = Send(*broker, {.topic = "none", .payload = "secret"}, absl::Seconds(15));
      EXPECT_EQ(sent.code(), absl::StatusCode::kUnauthenticated)
          << "send " << i << ", create_topics=" << create_topics << ": " << sent;
    }
  }
}

// Larger than the topic takes, though not than this client; and than this client sends.
TEST(KafkaAccessTest, AMessageThatIsTooLargeIsRefusedAndSaysWhatToRaise) {
  const std::string url = absl::StrCat("kafka://", Cluster().bootstrap_servers());
  auto broker = MakeKafkaBrokerFromUrl(
      {.url = url, .topics = {{"small", {.settings = {{"max.message.bytes", "10000"}}}}}, .client_name = "test"});
  ASSERT_TRUE(broker.ok()) << broker.status();
  EXPECT_EQ(Send(**broker, {.topic = "small", .payload = "m"}), absl::OkStatus());
  for (const size_t size : {20'000, 3'000'000}) {
    const absl::Status refused = Send(**broker, {.topic = "small", .payload = std::string(size, 'x')});
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("message.max.bytes")) << size;
    EXPECT_EQ(Send(**broker, {.topic = "small", .payload = "m"}), absl::OkStatus()) << "it goes on";
  }
}

}  // namespace
}  // namespace messaging
