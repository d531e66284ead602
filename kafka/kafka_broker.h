// The Kafka broker: Apache Kafka 2.8 or newer, by librdkafka.
//
//   kafka://host1:9092,host2:9092      kafka+ssl:// the same with TLS      kafka://user:password@host:9093
//
// A user makes it SASL: PLAIN unless sasl.mechanism says SCRAM-SHA-256 or SCRAM-SHA-512; with kafka+ssl:// over TLS.
//
// Options, in the URL's query or among the native ones. Every property of librdkafka is one, by its own name
// (ssl.ca.location, session.timeout.ms, group.instance.id for static membership, group.protocol=consumer for the newer
// protocol, isolation.level, compression.type ...), and besides:
//   config=FILE               more of them, a NAME=VALUE a line, as Kafka's own tools read; secrets need not be in URLs
//   create_topics=false       true: a topic that is sent to or consumed and is not there is made. Those among the
//                             client's topics always are, with their partitions, replicas and settings; the group's
//                             places for retries and dead letters, too
//   retry_partitions=1        of each place for retries when it is made
//   internal_replicas=0       of those places; 0: the server's default
//   commit_interval=100ms     how often progress is written to the server; what was done since the last time comes
//                             again after a crash
//   revoke_timeout=5s         how long running handlers may finish when their partition goes to another member
//   start_timeout=30s         how long a consumer that starts waits for a server that does not answer
//
// How messages, retries, dead letters and progress lie on the server, so that other programs can read and write them,
// is told in docs/kafka.md.
#ifndef KAFKA_KAFKA_BROKER_H_
#define KAFKA_KAFKA_BROKER_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/registry.h"
#include "messaging/observer.h"
#include "messaging/topic_options.h"

namespace messaging {

// What a broker is made from; see above.
struct KafkaOptions {
  std::string servers = "127.0.0.1:9092";
  std::map<std::string, std::string> properties;  // librdkafka's, as given; ours are defaults beneath them.

  bool create_topics = false;
  int retry_partitions = 1;
  int internal_replicas = 0;
  absl::Duration commit_interval = absl::Milliseconds(100);
  absl::Duration revoke_timeout = absl::Seconds(5);
  absl::Duration start_timeout = absl::Seconds(30);

  std::map<std::string, TopicOptions> topics;
  std::string client_name;
  Observer* observer = nullptr;  // May be null.

  // "kafka host1:9092,host2:9092": for messages; holds no secret.
  std::string Address() const { return "kafka " + servers; }
  // Whether this client makes the topic where it is not there.
  bool MayCreate(const std::string& topic) const { return create_topics || topics.contains(topic); }
};

// InvalidArgument: what is wrong with a URL, a file or an option.
absl::StatusOr<KafkaOptions> ParseKafkaOptions(const BrokerOptions& options);

// Connects when it is first used. InvalidArgument: a property that librdkafka does not know, or its value.
absl::StatusOr<std::unique_ptr<Broker>> MakeKafkaBroker(KafkaOptions options);

// The same from a URL and native options, for register.cc.
absl::StatusOr<std::unique_ptr<Broker>> MakeKafkaBrokerFromUrl(const BrokerOptions& options);

}  // namespace messaging

#endif  // KAFKA_KAFKA_BROKER_H_
