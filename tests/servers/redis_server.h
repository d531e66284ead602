// Redis for a test.
#ifndef TESTS_SERVERS_REDIS_SERVER_H_
#define TESTS_SERVERS_REDIS_SERVER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/servers/server.h"

namespace messaging::servers {

struct RedisOptions {
  std::string appendfsync = "always";  // "everysec", "no".
  // Further arguments as redis-server takes them: {"--maxmemory", "8mb"}. "FOLDER" in one stands for the server's
  // folder: {"--unixsocket", "FOLDER/socket"}.
  std::vector<std::string> arguments;
  bool tls = false;  // Takes TLS only; with tls_auth_clients, from clients with a certificate only.
  bool tls_auth_clients = false;
  bool tls_expired = false;  // Its certificate is.
};

class RedisServer {
 public:
  explicit RedisServer(RedisOptions options = {});
  absl::Status Start();  // Once; then server().StartAgain().

  Server& server() { return server_; }
  int port() const { return port_; }
  std::string url(int database = 0) const;  // "redis://127.0.0.1:PORT/0"; rediss:// with tls.
  // With tls, made by Start, in PEM: the authority that signed the server's certificate (for "localhost" and
  // 127.0.0.1) and the client's.
  std::string ca_file() const { return server_.folder() + "/ca.crt"; }
  std::string client_certificate_file() const { return server_.folder() + "/client.crt"; }
  std::string client_key_file() const { return server_.folder() + "/client.key"; }

 private:
  RedisOptions options_;
  Server server_;
  const int port_;
};

}  // namespace messaging::servers

#endif  // TESTS_SERVERS_REDIS_SERVER_H_
