// RabbitMQ for a test: one node, without services of the system.
#ifndef TESTS_SERVERS_RABBITMQ_SERVER_H_
#define TESTS_SERVERS_RABBITMQ_SERVER_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/servers/server.h"

namespace messaging::servers {

struct RabbitmqOptions {
  std::string config;       // Further lines of rabbitmq.conf.
  bool management = false;  // With the management plugin, on management_port().
  bool tls = false;         // Also listens with TLS, on tls_port().
  bool tls_auth_clients = false;
  bool tls_log_in = false;   // Clients may log in by their certificate: the user is its common name.
  bool tls_expired = false;  // The server's certificate is.
};

class RabbitmqServer {
 public:
  explicit RabbitmqServer(RabbitmqOptions options = {});
  absl::Status Start();  // Once, some five seconds; then server().StartAgain().

  Server& server() { return server_; }
  int port() const { return port_; }
  int tls_port() const { return tls_port_; }
  int management_port() const { return management_port_; }
  std::string url(const std::string& virtual_host = "") const;  // "amqp://guest:guest@127.0.0.1:PORT/VHOST"
  std::string url_with_management() const;                      // The same with the option management_url.
  std::string management_url() const;                           // "http://guest:guest@127.0.0.1:PORT"
  // With tls, made by Start, in PEM, as RedisServer's.
  std::string ca_file() const { return server_.folder() + "/ca.crt"; }
  std::string client_certificate_file() const { return server_.folder() + "/client.crt"; }
  std::string client_key_file() const { return server_.folder() + "/client.key"; }

  // Runs rabbitmqctl (an Erlang machine of its own: most of a second) and gives what it printed.
  absl::StatusOr<std::string> Control(const std::string& arguments) const;
  // Has the server evaluate Erlang expressions, "a(), b().", and gives "{ok, VALUE}": at once.
  absl::StatusOr<std::string> Evaluate(const std::string& expressions) const;
  absl::Status AddVirtualHost(const std::string& name) const;

 private:
  std::string Configuration() const;
  absl::StatusOr<std::string> Run(const std::string& command) const;

  RabbitmqOptions options_;
  Server epmd_;  // Erlang's name server: started by RabbitMQ it would outlive the test.
  Server server_;
  const int port_, tls_port_, management_port_, distribution_port_, epmd_port_;
  std::map<std::string, std::string> environment_;
};

}  // namespace messaging::servers

#endif  // TESTS_SERVERS_RABBITMQ_SERVER_H_
