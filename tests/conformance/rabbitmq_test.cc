// The suite over RabbitMQ: one server for all cases, a virtual host for each.
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/tcp_socket.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "messaging/message.h"
#include "nlohmann/json.hpp"
#include "tests/conformance/conformance.h"
#include "tests/servers/rabbitmq_management.h"
#include "tests/servers/rabbitmq_server.h"

namespace messaging::conformance {
namespace {

using servers::RabbitmqManagement;
using servers::RabbitmqServer;

std::string VirtualHostOf(const std::string& url) { return url.substr(url.rfind('/') + 1); }

// As another program would send.
absl::Status SendForeign(int port, const std::string& virtual_host, const Message& message, const std::string& key) {
  const std::unique_ptr<amqp_connection_state_t_, int (*)(amqp_connection_state_t)> connection(amqp_new_connection(),
                                                                                               amqp_destroy_connection);
  amqp_socket_t* const socket = amqp_tcp_socket_new(connection.get());
  if (amqp_socket_open(socket, "127.0.0.1", port) != AMQP_STATUS_OK) return absl::UnavailableError("no connection");
  amqp_login(connection.get(), virtual_host.c_str(), 0, 131'072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
  amqp_channel_open(connection.get(), 1);
  if (amqp_get_rpc_reply(connection.get()).reply_type != AMQP_RESPONSE_NORMAL) return absl::InternalError("no channel");
  amqp_basic_properties_t properties = {};
  amqp_table_entry_t entry = {};
  if (message.key) {
    entry.key = amqp_cstring_bytes("messaging-key");
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = {message.key->size(), const_cast<char*>(message.key->data())};
    properties._flags = AMQP_BASIC_HEADERS_FLAG;
    properties.headers = {1, &entry};
  }
  amqp_basic_publish(connection.get(), 1, amqp_cstring_bytes("messaging"), amqp_cstring_bytes(key.c_str()), 0, 0,
                     &properties, {message.payload.size(), const_cast<char*>(message.payload.data())});
  amqp_channel_close(connection.get(), 1, AMQP_REPLY_SUCCESS);  // The server has it when it answers.
  return absl::OkStatus();
}

// With an expired certificate of another authority; kept until the process ends.
RabbitmqServer& ExpiredServer() {
  static RabbitmqServer* const server = [] {
    auto* const made = new RabbitmqServer({.tls = true, .tls_expired = true});
    EXPECT_EQ(made->Start(), absl::OkStatus());
    return made;
  }();
  return *server;
}

std::vector<Environment::Untrusted> UntrustedServers(const RabbitmqServer& server) {
  const RabbitmqServer& expired = ExpiredServer();
  const std::string url = absl::StrCat("amqps://guest:guest@localhost:", server.tls_port());
  return {{"another authority", url, {{"tls_ca", expired.ca_file()}}},
          {"the system's authorities", url, {}},
          {"another host's certificate", url, {{"tls_ca", server.ca_file()}, {"tls_server_name", "other.example"}}},
          {"an expired certificate",
           absl::StrCat("amqps://guest:guest@localhost:", expired.tls_port()),
           {{"tls_ca", expired.ca_file()}}},
          {"a port without TLS",
           absl::StrCat("amqps://guest:guest@localhost:", server.port()),
           {{"tls_ca", server.ca_file()}}},
          {"TLS asked for in plain", absl::StrCat("amqp://guest:guest@localhost:", server.tls_port()), {}}};
}

// The rights of the tests' user in a virtual host: to all, or to one topic and what belongs to it.
void Permit(RabbitmqServer& server, const std::string& virtual_host, const std::string& topic) {
  RabbitmqManagement manage(server.management_port());
  const std::string mine = topic.empty() ? ".*" : absl::StrCat("^messaging$|^[^/]*/", topic, "(/.*)?$|", topic);
  EXPECT_EQ(manage.Permit(virtual_host, "guest", mine, mine, mine), absl::OkStatus());
  const nlohmann::json keys = {{"exchange", "messaging"}, {"write", mine}, {"read", mine}};
  EXPECT_EQ(manage.Put(absl::StrCat("topic-permissions/", virtual_host, "/guest"), keys.dump()), absl::OkStatus());
}

Environment RabbitmqEnvironment(RabbitmqServer& server, int partitions, bool faults) {
  Environment environment;
  environment.name = "rabbitmq";
  const auto current = std::make_shared<std::string>();  // The case's virtual host.
  environment.url = [&server, current](std::string_view case_name) {
    RabbitmqManagement manage(server.management_port());
    if (!current->empty()) (void)manage.Delete("vhosts/" + *current);
    *current = std::string(case_name);
    const absl::Status made = manage.Put("vhosts/" + *current);
    EXPECT_TRUE(made.ok()) << made;
    // Who stands still is missed after two heartbeats.
    return absl::StrCat(server.url(*current), *current == "AConsumerStandsStill" ? "?heartbeat=2s" : "");
  };
  environment.native = {{"management_url", server.management_url()}};
  environment.takeover = absl::Seconds(5);
  environment.kills = 10;
  if (faults) {  // The server takes what is sent again for new: so that it is not much.
    environment.unanswered_sends = 32;
    environment.native["confirm_window"] = absl::StrCat(environment.unanswered_sends);
  }
  environment.break_dead_letters = [&server](Broker&, const std::string& url) -> std::function<void()> {
    // No right to make the places of dead letters, which are made when there is one.
    auto permit = [&server, url](const std::string& configure) {
      const absl::Status set =
          RabbitmqManagement(server.management_port()).Permit(VirtualHostOf(url), "guest", configure, ".*", ".*");
      EXPECT_TRUE(set.ok()) << set;
    };
    permit("^(?!__messaging\\.dead).*$");
    return [permit] { permit(".*"); };
  };
  environment.hold_answers = [&server](Broker&, const std::string&) -> std::function<void()> {
    server.server().Pause();
    return [&server] { server.server().Continue(); };
  };
  environment.restart_server = [&server](bool kill) {
    if (kill) {
      // The server writes the list of its quorum queues each half second: one that was made just before it is killed
      // comes back without a leader, for good.
      absl::SleepFor(absl::Seconds(1));
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
  const auto cut = [&server] {
    return server.Evaluate("rabbit_networking:close_connections(rabbit_networking:connections(), \"test\").").status();
  };
  environment.cut_connections = cut;
  environment.lock_out = [&server, cut]() -> std::function<void()> {
    EXPECT_TRUE(server.Control("change_password guest changed").ok());
    EXPECT_EQ(cut(), absl::OkStatus());
    return [&server] { EXPECT_TRUE(server.Control("change_password guest guest").ok()); };
  };
  environment.allow_only = [&server, current](const std::string& topic) -> std::function<void()> {
    Permit(server, *current, topic);
    return [&server, current] { Permit(server, *current, ""); };
  };
  environment.untrusted = [&server] { return UntrustedServers(server); };
  environment.fill_server = [&server]() -> std::function<void()> {
    EXPECT_TRUE(server.Control("set_vm_memory_high_watermark 0.00001").ok());
    return [&server] { EXPECT_TRUE(server.Control("set_vm_memory_high_watermark 0.4").ok()); };
  };
  environment.delete_topic = [&server](const std::string& url, const std::string& topic) {
    RabbitmqManagement manage(server.management_port());
    absl::Status status;
    for (const nlohmann::json& queue : manage.Get(absl::StrCat("queues/", VirtualHostOf(url), "?columns=name"))) {
      const std::string name = queue.value("name", "");
      const std::vector<std::string> parts = absl::StrSplit(name, '/');
      if (parts.size() < 2 || parts[1] != topic) continue;
      status.Update(manage.Delete(absl::StrCat("queues/", VirtualHostOf(url), "/", absl::StrJoin(parts, "%2F"))));
    }
    return status;
  };
  environment.send_foreign = [&server, partitions](const std::string& url, const Message& message) {
    return SendForeign(server.port(), VirtualHostOf(url), message,
                       absl::StrCat(message.topic, partitions > 0 ? "/0" : ""));
  };
  environment.cannot = {{"end_uncleanly", "a member ends uncleanly with its process only: the cases that kill one"}};
  environment.expected_skips = {
      {"AnUncleanEndLosesNothing", environment.cannot["end_uncleanly"]},
      {"NewSubscriberReceivesOldMessages", "a new group does not see what was sent before it"},
      {"TailShowsWhatWasSent", "what was sent before cannot be looked at"}};
  if (partitions > 0) {
    environment.native["partitions"] = absl::StrCat(partitions);
    for (const char* name : {"MembersShare", "WhatWasNotBegunIsReleasedAtOnce"}) {
      environment.expected_skips[name] = "members share partitions: what waits in a busy one's is not for others";
    }
  } else {
    // A queue deals messages to its consumers as they come.
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
  const bool faults = std::any_of(argv, argv + argc, [](std::string_view text) { return text == "--faults"; });
  messaging::servers::RabbitmqServer server({.management = true, .tls = true});
  if (const absl::Status status = server.Start(); !status.ok()) {
    fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    return 1;
  }
  return messaging::conformance::Main(argc, argv,
                                      messaging::conformance::RabbitmqEnvironment(server, partitions, faults));
}
