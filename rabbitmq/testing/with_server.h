// For the driver's own tests: a real server with a virtual host for each test, another program's connection to it,
// sends and members.
#ifndef RABBITMQ_TESTING_WITH_SERVER_H_
#define RABBITMQ_TESTING_WITH_SERVER_H_

#include <rabbitmq-c/amqp.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/testing/fake_sink.h"
#include "messaging/outgoing.h"
#include "messaging/topic_options.h"
#include "rabbitmq/rabbitmq_broker.h"
#include "rabbitmq/topology.h"
#include "tests/servers/rabbitmq_management.h"
#include "tests/servers/rabbitmq_server.h"

namespace messaging::rabbitmq_testing {

using servers::RabbitmqManagement;
using servers::RabbitmqServer;

inline constexpr absl::Duration kLimit = absl::Seconds(60);

// Polls `condition` until it holds; false after kLimit.
bool WaitUntil(const std::function<bool()>& condition);

// Another program's connection, by rabbitmq-c alone. Each method waits for the server's answer.
class Other {
 public:
  explicit Other(RabbitmqServer& server, const std::string& virtual_host);

  // OK or why the server closed the channel, which is opened again.
  absl::Status DeclareQueue(const rabbitmq::QueueSpec& spec);
  absl::Status DeclareExchange(const std::string& name, const std::string& type);
  absl::Status Bind(const std::string& queue, const std::string& exchange, const std::string& key);
  absl::Status DeleteQueue(const std::string& name);
  absl::Status Publish(const std::string& exchange, const std::string& key, std::string_view body,
                       amqp_basic_properties_t properties = {});
  int64_t Ready(const std::string& queue);  // -1: there is no such queue.
  // Takes and acknowledges the first message. False: there is none.
  bool Get(const std::string& queue, const std::function<void(const amqp_message_t&)>& look);
  amqp_connection_state_t state() { return connection_.get(); }

 private:
  absl::Status Told();
  const std::unique_ptr<amqp_connection_state_t_, int (*)(amqp_connection_state_t)> connection_;
};

absl::StatusOr<std::unique_ptr<Broker>> Connect(const std::string& url, std::map<std::string, std::string> native = {},
                                                std::map<std::string, TopicOptions> topics = {});

OutgoingPtr NewMessage(std::string payload, std::string topic = "t", absl::Duration deadline = kLimit);

// Sends and waits for how that ends.
absl::Status Send(Broker& broker, std::string payload, std::string topic = "t", absl::Duration deadline = kLimit);

// Sends "0" to "N-1" and expects that all are accepted.
void SendMany(Broker& broker, int n, const std::string& topic = "t");

// One member of a group.
struct Joined {
  FakeSink sink;
  std::shared_ptr<Subscription> subscription;
  absl::Status started;

  explicit Joined(Broker& broker, const std::vector<std::string>& topics = {"t"}, const std::string& member = "m",
                  Room room = {.messages = 1'000'000, .bytes = size_t{1} << 30}, const std::string& group = "g");
  ~Joined();
  // Each expects that it goes well. Of the first that it holds, or of all of them:
  void Give(Settlement settlement);
  void Settle(Settlement::Verdict verdict);
  std::set<std::string> SettleAll(Settlement::Verdict verdict);  // Their payloads.
  // Acknowledges what comes until it has seen `n` different payloads, or kLimit has passed; and gives these.
  std::set<std::string> AcknowledgeAll(size_t n);
};

// A server for all tests of a file, and a virtual host for each.
class WithServer : public testing::Test {
 protected:
  WithServer();
  ~WithServer() override;
  static RabbitmqServer& server();
  static RabbitmqManagement& management();
  std::string url() const { return server().url(virtual_host_); }
  std::unique_ptr<Broker> NewBroker(std::map<std::string, std::string> native = {},
                                    std::map<std::string, TopicOptions> topics = {}) const;

  const std::string virtual_host_;
};

}  // namespace messaging::rabbitmq_testing

#endif  // RABBITMQ_TESTING_WITH_SERVER_H_
