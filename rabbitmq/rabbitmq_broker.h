// The RabbitMQ broker (3.10 or newer): quorum queues and publisher confirms, by rabbitmq-c.
//
//   amqp://user:password@host1:5672,host2:5672/vhost      amqps:// the same with TLS, port 5671
//
// Hosts are tried in turn. Users, passwords and virtual hosts may be percent-encoded; without a path the virtual host
// is "/". Options, in the URL's query or among the native ones:
//   tls_ca=FILE                        PEM: the authority to trust instead of the system's
//   tls_certificate=FILE tls_key=FILE  PEM: what this client shows when the server asks
//   tls_server_name=NAME               whom the server's certificate has to name; else the URL's host
//   tls_verify=true                    false takes any certificate: for tests
//   auth=plain                         external: who the client's certificate names
//   exchange=messaging                 the durable topic exchange that topics go through
//   queue_type=quorum                  classic: groups' queues on one node; retries and dead letters stay quorum queues
//   partitions=0                       how many queues a topic has in each group, each with one consumer at a time:
//                                      order per key across the group. Senders and consumers say the same. 0: one
//                                      queue, shared
//   prefetch=0                         how many messages a queue gives this consumer ahead. 0: as many as it may hold
//   confirm_window=2000                sends on their way at most
//   consumer_timeout=30m               the server's own: after how long without an acknowledgement it takes a message
//                                      back. To warn in time
//   management_url=http://u:p@h:15672  the management API: figures that AMQP does not tell, and lists of what there is
//   frame_size=131072                  bytes of a frame at most
//   heartbeat=30s
//   connect_timeout=5s
//   response_timeout=20s               for each answer: without one the connection is made anew
//   start_timeout=30s                  how long a consumer that starts waits for a server that does not answer
//
// Of single topics, among TopicOptions::settings, for what others have made:
//   queue=NAME       consume this queue as it is, whatever the group
//   exchange=NAME routing_key=KEY      send there
//
// How topics, groups, retries and dead letters lie on the server, so that other programs can read and write them, is
// told in docs/rabbitmq.md.
#ifndef RABBITMQ_RABBITMQ_BROKER_H_
#define RABBITMQ_RABBITMQ_BROKER_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/registry.h"
#include "messaging/broker/url.h"
#include "messaging/observer.h"
#include "messaging/topic_options.h"

namespace messaging {

// What the URL and the options above come to.
struct RabbitmqOptions {
  std::vector<Url::Host> hosts = {{"127.0.0.1", 5672}};
  std::string user = "guest";
  std::string password = "guest";
  std::string virtual_host = "/";
  bool external_auth = false;

  bool tls = false;
  std::string tls_ca, tls_certificate, tls_key, tls_server_name;
  bool tls_verify = true;

  std::string exchange = "messaging";
  bool classic_queues = false;
  int partitions = 0;
  int prefetch = 0;
  int confirm_window = 2'000;
  absl::Duration consumer_timeout = absl::Minutes(30);
  std::string management_url;

  int frame_size = 131'072;
  absl::Duration heartbeat = absl::Seconds(30);
  absl::Duration connect_timeout = absl::Seconds(5);
  absl::Duration response_timeout = absl::Seconds(20);
  absl::Duration start_timeout = absl::Seconds(30);

  std::map<std::string, TopicOptions> topics;
  std::string client_name;       // As the server lists connections.
  Observer* observer = nullptr;  // May be null.

  // "rabbitmq 10.0.0.7:5672", all hosts: for messages; holds no secret.
  std::string Address() const;
  int PartitionsOf(const std::string& topic) const;
  // Of a topic's settings; empty: not set.
  std::string SettingOf(const std::string& topic, const std::string& name) const;
};

// InvalidArgument: what is wrong with a URL or an option.
absl::StatusOr<RabbitmqOptions> ParseRabbitmqOptions(const BrokerOptions& options);

// Connects when it is first used. InvalidArgument: the options; files of TLS that cannot be read.
absl::StatusOr<std::unique_ptr<Broker>> MakeRabbitmqBroker(RabbitmqOptions options);

// The same from a URL and native options, for register.cc.
absl::StatusOr<std::unique_ptr<Broker>> MakeRabbitmqBrokerFromUrl(const BrokerOptions& options);

}  // namespace messaging

#endif  // RABBITMQ_RABBITMQ_BROKER_H_
