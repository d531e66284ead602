// PostgreSQL 15 for a test.
#ifndef TESTS_SERVERS_POSTGRES_SERVER_H_
#define TESTS_SERVERS_POSTGRES_SERVER_H_

#include <string>

#include "absl/status/status.h"
#include "tests/servers/server.h"

namespace messaging::servers {

// It refuses to run as root: then it is the user `postgres` of Debian's package. Tests that use it are tagged "local",
// as in a sandbox there is no other user. It does not flush to the disk: what it has survives its own death, not the
// machine's.
class PostgresServer {
 public:
  PostgresServer() : server_("postgres"), port_(FreePort()) {}
  absl::Status Start();    // Once.
  absl::Status Restart();  // After SIGKILL, on the same folder and port.

  Server& server() { return server_; }
  std::string url() const;  // Of the database "postgres", as a superuser without a password.

 private:
  Server server_;
  const int port_;
};

// One for all tests of the process, started when it is first asked for; a test program without it ends.
PostgresServer& SharedPostgresServer();

}  // namespace messaging::servers

#endif  // TESTS_SERVERS_POSTGRES_SERVER_H_
