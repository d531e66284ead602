// Apache Kafka for a test: brokers that are their own controllers (KRaft), one or three.
#ifndef TESTS_SERVERS_KAFKA_SERVER_H_
#define TESTS_SERVERS_KAFKA_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/servers/server.h"

namespace messaging::servers {

struct KafkaOptions {
  int brokers = 1;
  int partitions = 4;                   // Of topics made on first use.
  std::vector<std::string> properties;  // Further lines of server.properties: "auto.create.topics.enable=false".
  // Listeners besides the plain one, as their security protocol: "SSL", "SASL_PLAINTEXT", "SASL_SSL". Settings of SASL
  // and of client authentication come by `properties`.
  std::vector<std::string> listeners;
  // What a listener's clients are told to connect to, where that is not its port: a proxy of the test. Asked for each
  // listener of each broker, by the constructor.
  std::function<int(const std::string& listener, int port)> advertise;
};

// The server's jars are in $CORE_MESSAGING_KAFKA/libs (tools/setup --servers says where).
class KafkaCluster {
 public:
  explicit KafkaCluster(KafkaOptions options = {});
  // Once, some four seconds; then server(i).StartAgain().
  absl::Status Start();

  int brokers() const { return static_cast<int>(nodes_.size()); }
  Server& server(int broker = 0) { return *nodes_[broker].server; }
  // "127.0.0.1:PORT,...", all of them, as clients are told: of the plain listener, or of one of options.listeners.
  std::string bootstrap_servers(const std::string& listener = "PLAINTEXT") const;
  // With an SSL listener, made by Start, in PEM, as RedisServer's. The client's may be asked for by
  // "ssl.client.auth=required".
  std::string ca_file() const { return nodes_[0].server->folder() + "/ca.crt"; }
  std::string client_certificate_file() const { return nodes_[0].server->folder() + "/client.crt"; }
  std::string client_key_file() const { return nodes_[0].server->folder() + "/client.key"; }

 private:
  struct Listener {
    std::string protocol;
    int port = 0;
    int advertised = 0;
  };
  struct Node {
    std::unique_ptr<Server> server;
    int controller_port = 0;
    std::vector<Listener> listeners;  // The plain one first.
  };
  std::string Properties(int node) const;
  absl::Status MakeStores() const;

  KafkaOptions options_;
  std::vector<Node> nodes_;
};

}  // namespace messaging::servers

#endif  // TESTS_SERVERS_KAFKA_SERVER_H_
