#include "tests/servers/kafka_server.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "tests/servers/certificates.h"
#include "tests/servers/socket.h"

namespace messaging::servers {
namespace {

constexpr char kClusterId[] = "Y29yZV9tZXNzYWdpbmdfMQ";  // Any 16 bytes, as base64.
constexpr char kLogging[] =
    "status=error\nappender.console.type=Console\nappender.console.name=console\n"
    "appender.console.layout.type=PatternLayout\nappender.console.layout.pattern=%d %p %m (%c)%n\n"
    "rootLogger.level=info\nrootLogger.appenderRef.console.ref=console\n";

std::string Libraries() {
  const char* folder = getenv("CORE_MESSAGING_KAFKA");
  return absl::StrCat(folder == nullptr ? "/nonexistent" : folder, "/libs");
}

// Metadata, version 1, of no topic; the answer holds how many brokers are up.
absl::Status CountBrokers(int port, int expected) {
  constexpr std::string_view kQuestion("\0\0\0\x0e\0\x03\0\x01\0\0\0\x07\xff\xff\0\0\0\0", 18);
  absl::StatusOr<std::string> answer = Ask(port, kQuestion, 12);
  if (!answer.ok()) return answer.status();
  const int brokers = static_cast<unsigned char>(answer->back());
  if (brokers >= expected) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("it knows of ", brokers, " brokers"));
}

}  // namespace

KafkaCluster::KafkaCluster(KafkaOptions options) : options_(std::move(options)) {
  for (int i = 0; i < options_.brokers; ++i) {
    Node node{std::make_unique<Server>("kafka"), FreePort(), {}};
    std::vector<std::string> protocols = {"PLAINTEXT"};
    protocols.insert(protocols.end(), options_.listeners.begin(), options_.listeners.end());
    for (const std::string& protocol : protocols) {
      const int port = FreePort();
      node.listeners.push_back(
          {protocol, port, options_.advertise == nullptr ? port : options_.advertise(protocol, port)});
    }
    nodes_.push_back(std::move(node));
  }
}

std::string KafkaCluster::Properties(int i) const {
  const Node& node = nodes_[i];
  std::vector<std::string> voters;
  for (size_t j = 0; j < nodes_.size(); ++j) {
    voters.push_back(absl::StrCat(j + 1, "@127.0.0.1:", nodes_[j].controller_port));
  }
  std::vector<std::string> listeners, advertised;
  std::vector<std::string> protocols = {"CONTROLLER:PLAINTEXT"};
  for (const Listener& listener : node.listeners) {
    listeners.push_back(absl::StrCat(listener.protocol, "://127.0.0.1:", listener.port));
    advertised.push_back(absl::StrCat(listener.protocol, "://127.0.0.1:", listener.advertised));
    protocols.push_back(absl::StrCat(listener.protocol, ":", listener.protocol));
  }
  listeners.push_back(absl::StrCat("CONTROLLER://127.0.0.1:", node.controller_port));
  const int copies = static_cast<int>(nodes_.size());
  const int in_sync = copies > 1 ? 2 : 1;
  std::vector<std::string> lines = {
      "process.roles=broker,controller",
      absl::StrCat("node.id=", i + 1),
      absl::StrCat("controller.quorum.voters=", absl::StrJoin(voters, ",")),
      absl::StrCat("listeners=", absl::StrJoin(listeners, ",")),
      absl::StrCat("advertised.listeners=", absl::StrJoin(advertised, ",")),
      absl::StrCat("listener.security.protocol.map=", absl::StrJoin(protocols, ",")),
      "inter.broker.listener.name=PLAINTEXT",
      "controller.listener.names=CONTROLLER",
      absl::StrCat("log.dirs=", node.server->folder(), "/data"),
      absl::StrCat("num.partitions=", options_.partitions),
      absl::StrCat("default.replication.factor=", copies),
      absl::StrCat("min.insync.replicas=", in_sync),
      absl::StrCat("offsets.topic.replication.factor=", copies),
      absl::StrCat("transaction.state.log.replication.factor=", copies),
      absl::StrCat("transaction.state.log.min.isr=", in_sync),
      absl::StrCat("share.coordinator.state.topic.replication.factor=", copies),
      absl::StrCat("share.coordinator.state.topic.min.isr=", in_sync),
      // Fewer than the 50 that are usual: a first member joins sooner.
      "offsets.topic.num.partitions=4",
      "transaction.state.log.num.partitions=4",
      "share.coordinator.state.topic.num.partitions=4",
      "group.initial.rebalance.delay.ms=0",
      "log.cleaner.dedupe.buffer.size=4194304",  // Or 128 MB of heap.
      "broker.session.timeout.ms=3000",          // A killed broker is noticed in three seconds, not nine.
      "broker.heartbeat.interval.ms=500",
  };
  if (absl::StrContains(absl::StrJoin(protocols, ","), "SSL")) {
    const std::string folder = nodes_[0].server->folder();
    lines.insert(lines.end(), {"ssl.keystore.type=PEM", absl::StrCat("ssl.keystore.location=", folder, "/server.pem"),
                               "ssl.truststore.type=PEM", absl::StrCat("ssl.truststore.location=", folder, "/ca.crt")});
  }
  lines.insert(lines.end(), options_.properties.begin(), options_.properties.end());
  return absl::StrJoin(lines, "\n");
}

// Java wants key and certificates in one file.
absl::Status KafkaCluster::MakeStores() const {
  const std::string& folder = nodes_[0].server->folder();
  absl::Status status = MakeAuthority(folder);
  for (const char* name : {"server", "client"}) status.Update(MakeCertificate(folder, name));
  std::ofstream store(folder + "/server.pem");
  for (const char* part : {"server.key", "server.crt", "ca.crt"}) {
    store << std::ifstream(absl::StrCat(folder, "/", part)).rdbuf();
  }
  return status;
}

absl::Status KafkaCluster::Start() {
  const std::string libraries = Libraries();
  if (!std::ifstream(libraries + "/kafka_2.13-4.1.0.jar")) {
    return absl::NotFoundError(
        absl::StrCat("no Apache Kafka in ", libraries, ": run tools/setup --servers, which says where it is"));
  }
  if (!options_.listeners.empty()) {
    if (absl::Status status = MakeStores(); !status.ok()) return status;
  }
  std::vector<std::string> java = {"java",
                                   "-Xms64m",
                                   nodes_.size() > 1 ? "-Xmx256m" : "-Xmx512m",
                                   "-XX:+UseSerialGC",
                                   "-XX:TieredStopAtLevel=1",
                                   "-cp",
                                   libraries + "/*"};
  for (size_t i = 0; i < nodes_.size(); ++i) {
    Server& server = *nodes_[i].server;
    const std::string properties = server.WriteFile("server.properties", Properties(static_cast<int>(i)));
    std::vector<std::string> argv = java;
    argv.push_back(absl::StrCat("-Dlog4j2.configurationFile=", server.WriteFile("log4j2.properties", kLogging)));
    // One program that formats and then serves would format again at each start: two steps.
    const std::string format = absl::StrCat("'", absl::StrJoin(argv, "' '"), "' kafka.tools.StorageTool format -t ",
                                            kClusterId, " -c ", properties, " >", server.folder(), "/format.log 2>&1");
    if (std::system(format.c_str()) != 0) {
      std::ifstream log(server.folder() + "/format.log");
      return absl::InternalError(std::string((std::istreambuf_iterator<char>(log)), std::istreambuf_iterator<char>()));
    }
    argv.insert(argv.end(), {"kafka.Kafka", properties});
    const int port = nodes_[i].listeners[0].port;
    // A quorum is there with the second: until the last is started nobody waits for them.
    const bool last = i + 1 == nodes_.size();
    const int expected = last ? brokers() : 0;
    absl::Status status = server.Start(
        {.name = "kafka",
         .argv = argv,
         .ready = [port, expected] { return expected == 0 ? absl::OkStatus() : CountBrokers(port, expected); },
         .start_limit = absl::Seconds(120)});
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

std::string KafkaCluster::bootstrap_servers(const std::string& listener) const {
  std::vector<std::string> addresses;
  for (const Node& node : nodes_) {
    int port = 0;
    for (const Listener& one : node.listeners) {
      if (one.protocol == listener) port = one.advertised;
    }
    addresses.push_back(absl::StrCat("127.0.0.1:", port));
  }
  return absl::StrJoin(addresses, ",");
}

}  // namespace messaging::servers
