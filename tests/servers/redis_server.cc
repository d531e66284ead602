#include "tests/servers/redis_server.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/servers/certificates.h"
#include "tests/servers/socket.h"

namespace messaging::servers {
namespace {

// By the Unix socket that each has besides: whatever TLS and passwords are asked for on the port.
absl::Status Ping(const std::string& path) {
  absl::StatusOr<std::string> answer = AskUnix(path, "PING\r\n", 4);
  if (!answer.ok()) return answer.status();
  // "-LOADING": not yet.
  if (*answer == "+PON" || *answer == "-NOA") return absl::OkStatus();
  return absl::UnavailableError(*answer);
}

}  // namespace

RedisServer::RedisServer(RedisOptions options) : options_(std::move(options)), server_("redis"), port_(FreePort()) {}

absl::Status RedisServer::Start() {
  const std::string socket = server_.folder() + "/redis.sock";
  const std::string port = absl::StrCat(port_);
  std::vector<std::string> argv = {"redis-server",
                                   "--bind",
                                   "127.0.0.1",
                                   "--dir",
                                   server_.folder(),
                                   "--appendonly",
                                   "yes",
                                   "--appendfsync",
                                   options_.appendfsync,
                                   "--save",
                                   "",
                                   "--daemonize",
                                   "no",
                                   "--unixsocket",
                                   socket,
                                   "--enable-debug-command",
                                   "local"};
  if (options_.tls) {
    absl::Status status = MakeAuthority(server_.folder());
    status.Update(MakeCertificate(server_.folder(), "server", {.expired = options_.tls_expired}));
    status.Update(MakeCertificate(server_.folder(), "client"));
    if (!status.ok()) return status;
    argv.insert(argv.end(), {"--port", "0", "--tls-port", port, "--tls-cert-file", server_.folder() + "/server.crt",
                             "--tls-key-file", server_.folder() + "/server.key", "--tls-ca-cert-file", ca_file(),
                             "--tls-auth-clients", options_.tls_auth_clients ? "yes" : "no"});
  } else {
    argv.insert(argv.end(), {"--port", port});
  }
  for (const std::string& argument : options_.arguments) {
    argv.push_back(absl::StrReplaceAll(argument, {{"FOLDER", server_.folder()}}));
  }
  return server_.Start({.name = "redis", .argv = argv, .ready = [socket] { return Ping(socket); }});
}

std::string RedisServer::url(int database) const {
  return absl::StrCat(options_.tls ? "rediss" : "redis", "://127.0.0.1:", port_, "/", database);
}

}  // namespace messaging::servers
