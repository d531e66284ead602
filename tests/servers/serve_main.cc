// serve redis|rabbitmq|kafka|postgres: starts a real server on free ports, prints its URL as one line, and keeps it
// until standard input ends or SIGTERM or SIGINT comes. For demonstrations, benchmarks and trying things by hand. What
// follows `redis` is given to redis-server.
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tests/servers/kafka_server.h"
#include "tests/servers/postgres_server.h"
#include "tests/servers/rabbitmq_server.h"
#include "tests/servers/redis_server.h"

namespace {

using messaging::servers::KafkaCluster;
using messaging::servers::PostgresServer;
using messaging::servers::RabbitmqServer;
using messaging::servers::RedisServer;

// Until there is nobody any more who wants it.
void AwaitEnd(int signals) {
  pollfd what[] = {{STDIN_FILENO, POLLIN, 0}, {signals, POLLIN, 0}};
  char ignored[256];
  while (poll(what, 2, -1) >= 0 && what[1].revents == 0) {
    if (what[0].revents != 0 && read(STDIN_FILENO, ignored, sizeof(ignored)) <= 0) return;
  }
}

int Serve(const absl::Status& started, const std::string& url, int signals) {
  if (!started.ok()) {
    fprintf(stderr, "%s\n", std::string(started.message()).c_str());
    return 1;
  }
  printf("%s\n", url.c_str());
  fflush(stdout);
  AwaitEnd(signals);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  const int signals = signalfd(-1, &ends, SFD_CLOEXEC);
  const std::string name = argc == 2 || (argc > 2 && argv[1] == std::string("redis")) ? argv[1] : "";
  if (name == "redis") {
    RedisServer server({.arguments = {argv + 2, argv + argc}});
    const absl::Status started = server.Start();
    return Serve(started, server.url(), signals);
  }
  if (name == "rabbitmq") {
    RabbitmqServer server({.management = true});
    const absl::Status started = server.Start();
    return Serve(started, server.url_with_management(), signals);
  }
  if (name == "kafka") {
    KafkaCluster cluster;
    const absl::Status started = cluster.Start();
    return Serve(started, absl::StrCat("kafka://", cluster.bootstrap_servers()), signals);
  }
  if (name == "postgres") {
    PostgresServer server;
    const absl::Status started = server.Start();
    return Serve(started, server.url(), signals);
  }
  fprintf(stderr, "usage: serve redis [ARGUMENTS]|rabbitmq|kafka|postgres\n");
  return 2;
}
