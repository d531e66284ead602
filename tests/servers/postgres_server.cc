#include "tests/servers/postgres_server.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/servers/socket.h"

namespace messaging::servers {
namespace {

constexpr char kServe[] = R"(
set -e
bin=/usr/lib/postgresql/15/bin
[ -d FOLDER/data ] || $bin/initdb -D FOLDER/data -U postgres -A trust -E UTF8 --locale=C -N >FOLDER/initdb.log
exec $bin/postgres -D FOLDER/data -p PORT -k FOLDER -c listen_addresses=127.0.0.1 -c fsync=off -c shared_buffers=16MB \
  -c max_connections=60
)";
constexpr char kAsAnotherUser[] = R"(
set -e
chmod 755 FOLDER; touch FOLDER/log; chown -R postgres FOLDER
cd FOLDER; exec setpriv --reuid=postgres --regid=postgres --clear-groups sh FOLDER/serve
)";

// A start-up message; a server that still starts, or recovers, answers with an error.
absl::Status Ping(int port) {
  constexpr std::string_view kStartup("\0\0\0\x17\0\x03\0\0user\0postgres\0\0", 23);
  absl::StatusOr<std::string> answer = Ask(port, kStartup, 1);
  if (!answer.ok()) return answer.status();
  return *answer == "R" ? absl::OkStatus() : absl::UnavailableError("it is starting");
}

}  // namespace

absl::Status PostgresServer::Start() {
  const auto write = [&](const char* name, const char* script) {
    return server_.WriteFile(
        name, absl::StrReplaceAll(script, {{"FOLDER", server_.folder()}, {"PORT", absl::StrCat(port_)}}));
  };
  std::string script = write("serve", kServe);
  if (geteuid() == 0) script = write("as_another_user", kAsAnotherUser);
  return server_.Start({.name = "postgres", .argv = {"sh", script}, .ready = [this] { return Ping(port_); }});
}

absl::Status PostgresServer::Restart() {
  server_.Kill();
  // Its children are of groups of their own, and end when they notice; until then their memory is in the way.
  const absl::Time limit = absl::Now() + absl::Seconds(60);
  absl::Status status;
  do {
    status = server_.StartAgain();
  } while (!status.ok() && absl::Now() < limit);
  return status;
}

std::string PostgresServer::url() const { return absl::StrCat("postgres://postgres@127.0.0.1:", port_, "/postgres"); }

PostgresServer& SharedPostgresServer() {
  static auto* const server = [] {
    auto* started = new PostgresServer;
    if (const absl::Status status = started->Start(); !status.ok()) {
      fprintf(stderr, "PostgreSQL: %s\n", status.ToString().c_str());
      exit(1);
    }
    return started;
  }();
  return *server;
}

}  // namespace messaging::servers
