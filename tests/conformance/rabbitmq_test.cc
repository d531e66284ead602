// The suite over RabbitMQ: one server for all cases, a virtual host for each.
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/tcp_socket.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "httplib.h"
#include "messaging/message.h"
#include "nlohmann/json.hpp"
#include "tests/conformance/conformance.h"
#include "tests/servers/rabbitmq_server.h"

namespace messaging::conformance {
namespace {

using servers::RabbitmqServer;

// The management API, which every case may ask.
class Manage {
 public:
  explicit Manage(RabbitmqServer& server) : client_("127.0.0.1", server.management_port()) {
    client_.set_basic_auth("guest", "guest");
    client_.set_read_timeout(std::chrono::seconds(60));
  }
  absl::Status Put(const std::string& path, const std::string& body = "{}") {
    return Told(path, client_.Put("/api/" + path, body, "application/json"));
  }
  absl::Status Delete(const std::string& path) { return Told(path, client_.Delete("/api/" + path)); }
  nlohmann::json Get(const std::string& path) {
    const httplib::Result result = client_.Get("/api/" + path);
    return result ? nlohmann::json::parse(result->body, nullptr, false) : nlohmann::json();
  }

 private:
  static absl::Status Told(const std::string& path, const httplib::Result& result) {
    if (!result) return absl::UnavailableError(absl::StrCat(path, ": ", httplib::to_string(result.error())));
    return result->status < 300
               ? absl::OkStatus()
               : absl::InternalError(absl::StrCat(path, ": HTTP ", result->status, ": ", result->body));
  }
  httplib::Client client_;
};

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

Environment RabbitmqEnvironment(RabbitmqServer& server, int partitions) {
  Environment environment;
  environment.name = "rabbitmq";
  environment.url = [&server](std::string_view case_name) {
    static std::string last;
    Manage manage(server);
    if (!last.empty()) (void)manage.Delete("vhosts/" + last);
    last = std::string(case_name);
    const absl::Status made = manage.Put("vhosts/" + last);
    EXPECT_TRUE(made.ok()) << made;
    return server.url(last);
  };
  environment.native = {{"management_url", server.management_url()}};
  environment.takeover = absl::Seconds(5);
  environment.kills = 10;
  environment.break_dead_letters = [&server](Broker&, const std::string& url) -> std::function<void()> {
    // No right to make the places of dead letters, which are made when there is one.
    auto permit = [&server, url](const std::string& configure) {
      const nlohmann::json rights = {{"configure", configure}, {"write", ".*"}, {"read", ".*"}};
      const absl::Status set =
          Manage(server).Put(absl::StrCat("permissions/", VirtualHostOf(url), "/guest"), rights.dump());
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
  environment.cut_connections = [&server] { return server.Control("close_all_connections test").status(); };
  environment.fill_server = [&server]() -> std::function<void()> {
    EXPECT_TRUE(server.Control("set_vm_memory_high_watermark 0.00001").ok());
    return [&server] { EXPECT_TRUE(server.Control("set_vm_memory_high_watermark 0.4").ok()); };
  };
  environment.delete_topic = [&server](const std::string& url, const std::string& topic) {
    Manage manage(server);
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
  environment.cannot = {{"end_uncleanly", "a member ends uncleanly with its process only: the cases that kill one"},
                        {"close_topics", "not done yet: a paused topic fills the hand, and others wait"}};
  environment.expected_skips = {
      {"APausedHandlerWaitsAndOthersGoOn", environment.cannot["close_topics"]},
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
  messaging::servers::RabbitmqServer server({.management = true});
  if (const absl::Status status = server.Start(); !status.ok()) {
    fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    return 1;
  }
  return messaging::conformance::Main(argc, argv, messaging::conformance::RabbitmqEnvironment(server, partitions));
}
