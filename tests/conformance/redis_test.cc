#include <hiredis/hiredis.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/conformance/conformance.h"
#include "tests/servers/redis_server.h"

namespace messaging::conformance {
namespace {

// Another program's connection, as a user whom nothing that is done to the tests' own concerns.
absl::Status Run(int port, const std::vector<std::string>& arguments) {
  const std::unique_ptr<redisContext, void (*)(redisContext*)> context(redisConnect("127.0.0.1", port), redisFree);
  if (context == nullptr || context->err != 0) return absl::UnavailableError("not connected");
  freeReplyObject(redisCommand(context.get(), "AUTH administrator any"));
  std::vector<const char*> values;
  std::vector<size_t> sizes;
  for (const std::string& argument : arguments) {
    values.push_back(argument.data());
    sizes.push_back(argument.size());
  }
  const std::unique_ptr<redisReply, void (*)(void*)> reply(
      static_cast<redisReply*>(
          redisCommandArgv(context.get(), static_cast<int>(values.size()), values.data(), sizes.data())),
      freeReplyObject);
  if (reply == nullptr) return absl::UnavailableError(context->errstr);
  if (reply->type == REDIS_REPLY_ERROR) return absl::InternalError(reply->str);
  return absl::OkStatus();
}

// Each is kept until the process ends.
servers::RedisServer& TlsServer(servers::RedisOptions options) {
  static std::vector<std::unique_ptr<servers::RedisServer>> servers;
  options.tls = true;
  servers.push_back(std::make_unique<servers::RedisServer>(std::move(options)));
  EXPECT_EQ(servers.back()->Start(), absl::OkStatus());
  return *servers.back();
}

std::vector<Environment::Untrusted> UntrustedServers(const servers::RedisServer& plain) {
  const servers::RedisServer& good = TlsServer({});
  const servers::RedisServer& expired = TlsServer({.tls_expired = true});
  const std::string url = absl::StrCat("rediss://localhost:", good.port());
  return {
      {"another authority", url, {{"tls_ca", expired.ca_file()}}},
      {"the system's authorities", url, {}},
      {"another host's certificate", url, {{"tls_ca", good.ca_file()}, {"tls_server_name", "other.example"}}},
      {"an expired certificate", absl::StrCat("rediss://localhost:", expired.port()), {{"tls_ca", expired.ca_file()}}},
      {"a port without TLS", absl::StrCat("rediss://localhost:", plain.port()), {{"tls_ca", good.ca_file()}}},
      {"TLS asked for in plain", absl::StrCat("redis://localhost:", good.port()), {}}};
}

Environment RedisEnvironment(servers::RedisServer& server, int partitions) {
  Environment environment;
  environment.name = "redis";
  // Topics and groups have names of their own for each case: one database for all.
  environment.url = [&server](std::string_view) { return server.url(); };
  environment.native = {{"claim_idle", "2s"}};
  environment.takeover = absl::Seconds(5);
  environment.break_dead_letters = [&server](Broker&, const std::string&) -> std::function<void()> {
    // No right to write to the places of dead letters.
    EXPECT_EQ(Run(server.port(), {"ACL", "SETUSER", "default", "resetkeys", "~[^{]*", "~{*}:__messaging.retry*"}),
              absl::OkStatus());
    return [&server] { EXPECT_EQ(Run(server.port(), {"ACL", "SETUSER", "default", "~*"}), absl::OkStatus()); };
  };
  environment.hold_answers = [&server](Broker&, const std::string&) -> std::function<void()> {
    server.server().Pause();
    return [&server] { server.server().Continue(); };
  };
  environment.restart_server = [&server](bool kill) {
    if (kill) {
      server.server().Kill();
    } else if (absl::Status stopped = server.server().Stop(); !stopped.ok()) {
      return stopped;
    }
    return server.server().StartAgain();
  };
  environment.take_server_away = [&server]() -> std::function<absl::Status()> {
    EXPECT_EQ(server.server().Stop(), absl::OkStatus());
    return [&server] { return server.server().StartAgain(); };
  };
  environment.impatient = {{"start_timeout", "1s"}};
  environment.lock_out = [&server]() -> std::function<void()> {
    EXPECT_EQ(Run(server.port(), {"ACL", "SETUSER", "default", "resetpass", ">changed"}), absl::OkStatus());
    EXPECT_EQ(Run(server.port(), {"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"}), absl::OkStatus());
    return [&server] { EXPECT_EQ(Run(server.port(), {"ACL", "SETUSER", "default", "nopass"}), absl::OkStatus()); };
  };
  environment.allow_only = [&server](const std::string& topic) -> std::function<void()> {
    EXPECT_EQ(Run(server.port(), {"ACL", "SETUSER", "default", "resetkeys", absl::StrCat("~", topic, "*"),
                                  absl::StrCat("~{", topic, "*")}),
              absl::OkStatus());
    return [&server] { EXPECT_EQ(Run(server.port(), {"ACL", "SETUSER", "default", "~*"}), absl::OkStatus()); };
  };
  environment.untrusted = [&server] { return UntrustedServers(server); };
  environment.cut_connections = [&server] {
    return Run(server.port(), {"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
  };
  environment.fill_server = [&server]() -> std::function<void()> {
    EXPECT_EQ(Run(server.port(), {"CONFIG", "SET", "maxmemory", "1mb"}), absl::OkStatus());
    return [&server] { EXPECT_EQ(Run(server.port(), {"CONFIG", "SET", "maxmemory", "0"}), absl::OkStatus()); };
  };
  environment.delete_topic = [&server, partitions](const std::string&, const std::string& topic) {
    std::vector<std::string> command = {"DEL", topic};
    for (int i = 0; i < partitions; ++i) command.push_back(absl::StrCat(topic, "/", i));
    return Run(server.port(), command);
  };
  environment.send_foreign = [&server, partitions](const std::string&, const Message& message) {
    std::vector<std::string> arguments = {"XADD", message.topic + (partitions > 0 ? "/0" : ""), "*", "payload",
                                          message.payload};
    if (message.key) arguments.insert(arguments.end(), {"key", *message.key});
    return Run(server.port(), arguments);
  };
  environment.cannot = {{"end_uncleanly", "a member ends uncleanly with its process only: the cases that kill one"}};
  environment.expected_skips = {{"AnUncleanEndLosesNothing", environment.cannot["end_uncleanly"]}};
  if (partitions > 0) {
    environment.native["partitions"] = absl::StrCat(partitions);
    environment.native["claim_idle"] = "700ms";  // A dead owner's partition waits so long.
    environment.takeover = absl::Seconds(2);
    for (const char* name : {"MembersShare", "WhatWasNotBegunIsReleasedAtOnce"}) {
      environment.expected_skips[name] = "members share partitions: what waits in a busy one's is not for others";
    }
  } else {
    // A group deals a stream's entries to its members as they ask.
    for (const char* name : {"OrderPerKeyOverMembers", "OrderPerKeyOverProcesses", "StopKeepsTheOrderOfAKey",
                             "StrictOrderOutlivesItsConsumer"}) {
      environment.expected_skips[name] = "order per key within a process only";
    }
  }
  return environment;
}

}  // namespace
}  // namespace messaging::conformance

// --partitions=N: each topic has so many.
int main(int argc, char** argv) {
  int partitions = 0;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view text = argv[i]; absl::ConsumePrefix(&text, "--partitions=")) {
      (void)absl::SimpleAtoi(text, &partitions);
      std::rotate(argv + i, argv + i + 1, argv + argc--);
      break;
    }
  }
  messaging::servers::RedisServer server(
      {.arguments = {"--user", "administrator", "on", "nopass", "~*", "&*", "+@all"}});
  if (const absl::Status status = server.Start(); !status.ok()) {
    fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    return 1;
  }
  return messaging::conformance::Main(argc, argv, messaging::conformance::RedisEnvironment(server, partitions));
}
