#include <librdkafka/rdkafka.h>

#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "messaging/message.h"
#include "tests/conformance/conformance.h"
#include "tests/faultproxy/fault_proxy.h"
#include "tests/servers/certificates.h"
#include "tests/servers/kafka_server.h"

namespace messaging::conformance {
namespace {

using servers::KafkaCluster;

constexpr int kAskMilliseconds = 20'000;
// So long the server gathers commits before it writes them (group.coordinator.append.linger.ms).
constexpr absl::Duration kCommitAnswer = absl::Milliseconds(5);

// Another program's client.
class Other {
 public:
  explicit Other(const KafkaCluster& cluster) {
    rd_kafka_conf_t* const conf = rd_kafka_conf_new();
    char why[256];
    rd_kafka_conf_set(conf, "bootstrap.servers", cluster.bootstrap_servers().c_str(), why, sizeof(why));
    rd_kafka_conf_set(conf, "message.max.bytes", "25000000", why, sizeof(why));
    rd_kafka_conf_set(conf, "linger.ms", "0", why, sizeof(why));
    handle_.reset(rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why)));
  }

  absl::Status Send(const Message& message) {
    const void* const key = message.key ? message.key->data() : nullptr;
    const size_t key_size = message.key ? message.key->size() : 0;
    const rd_kafka_resp_err_t error = rd_kafka_producev(
        handle_.get(), RD_KAFKA_V_TOPIC(message.topic.c_str()), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_VALUE(const_cast<char*>(message.payload.data()), message.payload.size()),
        RD_KAFKA_V_KEY(key, key_size), RD_KAFKA_V_END);
    return Status(error != RD_KAFKA_RESP_ERR_NO_ERROR ? error : rd_kafka_flush(handle_.get(), kAskMilliseconds));
  }

  absl::Status SetPassword(const char* user, std::string_view password) {
    rd_kafka_UserScramCredentialAlteration_t* one = rd_kafka_UserScramCredentialUpsertion_new(
        user, RD_KAFKA_SCRAM_MECHANISM_SHA_256, 4096, reinterpret_cast<const unsigned char*>(password.data()),
        password.size(), nullptr, 0);
    rd_kafka_queue_t* const queue = rd_kafka_queue_new(handle_.get());
    rd_kafka_AlterUserScramCredentials(handle_.get(), &one, 1, nullptr, queue);
    rd_kafka_UserScramCredentialAlteration_destroy(one);
    return Answer(queue);
  }

  // Everything with all that `name` begins, or that there is where it is "*"; or only one thing.
  absl::Status Allow(const char* user, rd_kafka_ResourceType_t what, const std::string& name,
                     rd_kafka_AclOperation_t operation = RD_KAFKA_ACL_OPERATION_ALL) {
    const bool whole = name == "*" || what == RD_KAFKA_RESOURCE_BROKER;
    char why[256];
    rd_kafka_AclBinding_t* one = rd_kafka_AclBinding_new(
        what, name.c_str(), whole ? RD_KAFKA_RESOURCE_PATTERN_LITERAL : RD_KAFKA_RESOURCE_PATTERN_PREFIXED,
        absl::StrCat("User:", user).c_str(), "*", operation, RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, why, sizeof(why));
    if (one == nullptr) return absl::InvalidArgumentError(why);
    rd_kafka_queue_t* const queue = rd_kafka_queue_new(handle_.get());
    rd_kafka_CreateAcls(handle_.get(), &one, 1, nullptr, queue);
    rd_kafka_AclBinding_destroy(one);
    return Answer(queue);
  }

  absl::Status DisallowAllTopics(const char* user) {
    char why[256];
    rd_kafka_AclBindingFilter_t* one = rd_kafka_AclBindingFilter_new(
        RD_KAFKA_RESOURCE_TOPIC, "*", RD_KAFKA_RESOURCE_PATTERN_LITERAL, absl::StrCat("User:", user).c_str(), "*",
        RD_KAFKA_ACL_OPERATION_ALL, RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, why, sizeof(why));
    if (one == nullptr) return absl::InvalidArgumentError(why);
    rd_kafka_queue_t* const queue = rd_kafka_queue_new(handle_.get());
    rd_kafka_DeleteAcls(handle_.get(), &one, 1, nullptr, queue);
    rd_kafka_AclBinding_destroy(one);
    return Answer(queue);
  }

  absl::Status DeleteTopic(const std::string& topic) {
    rd_kafka_DeleteTopic_t* one = rd_kafka_DeleteTopic_new(topic.c_str());
    rd_kafka_queue_t* const queue = rd_kafka_queue_new(handle_.get());
    rd_kafka_DeleteTopics(handle_.get(), &one, 1, nullptr, queue);
    rd_kafka_DeleteTopic_destroy(one);
    return Answer(queue);
  }

  // Of all topics that `which` says; "" as value: as the server's default.
  absl::Status SetOfTopics(const std::function<bool(std::string_view)>& which, const char* name, const char* value) {
    const rd_kafka_metadata_t* metadata = nullptr;
    const rd_kafka_resp_err_t error = rd_kafka_metadata(handle_.get(), 1, nullptr, &metadata, kAskMilliseconds);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return Status(error);
    std::vector<rd_kafka_ConfigResource_t*> changes;
    for (int i = 0; i < metadata->topic_cnt; ++i) {
      if (!which(metadata->topics[i].topic)) continue;
      changes.push_back(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, metadata->topics[i].topic));
      rd_kafka_ConfigResource_add_incremental_config(
          changes.back(), name,
          *value == '\0' ? RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE : RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET,
          *value == '\0' ? nullptr : value);
    }
    rd_kafka_metadata_destroy(metadata);
    if (changes.empty()) return absl::OkStatus();
    rd_kafka_queue_t* const queue = rd_kafka_queue_new(handle_.get());
    rd_kafka_IncrementalAlterConfigs(handle_.get(), changes.data(), changes.size(), nullptr, queue);
    rd_kafka_ConfigResource_destroy_array(changes.data(), changes.size());
    return Answer(queue);
  }

 private:
  static absl::Status Status(rd_kafka_resp_err_t error) {
    return error == RD_KAFKA_RESP_ERR_NO_ERROR ? absl::OkStatus() : absl::UnavailableError(rd_kafka_err2str(error));
  }
  static absl::Status Answer(rd_kafka_queue_t* queue) {
    rd_kafka_event_t* const event = rd_kafka_queue_poll(queue, kAskMilliseconds);
    const absl::Status status =
        event == nullptr ? absl::UnavailableError("no answer") : Status(rd_kafka_event_error(event));
    if (event != nullptr) rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    return status;
  }

  std::unique_ptr<rd_kafka_t, void (*)(rd_kafka_t*)> handle_{nullptr, rd_kafka_destroy};
};

// Clients of this listener come through a proxy, as a user who has what rights he is given; the tests' own do not.
constexpr char kSasl[] = "SASL_PLAINTEXT";
constexpr char kUser[] = "service";
constexpr char kPassword[] = "right";

// With a certificate that is not valid any more.
constexpr char kExpired[] = "SASL_SSL";

std::vector<Environment::Untrusted> UntrustedServers(const KafkaCluster& cluster, const std::string& expired_ca) {
  const std::string good = cluster.bootstrap_servers("SSL");
  const std::string other_name = absl::StrReplaceAll(good, {{"127.0.0.1", "127.1"}});
  const auto url = [](std::string_view scheme, std::string_view address) {
    return absl::StrCat(scheme, "://", address, "?ssl.endpoint.identification.algorithm=https");
  };
  return {
      {"another authority", url("kafka+ssl", good), {{"ssl.ca.location", expired_ca}}},
      {"the system's authorities", url("kafka+ssl", good), {}},
      {"another host's certificate", url("kafka+ssl", other_name), {{"ssl.ca.location", cluster.ca_file()}}},
      {"an expired certificate",
       absl::StrCat("kafka+ssl://", kUser, ":", kPassword, "@", cluster.bootstrap_servers(kExpired)),
       {{"ssl.ca.location", expired_ca}}},
      {"a port without TLS", url("kafka+ssl", cluster.bootstrap_servers()), {{"ssl.ca.location", cluster.ca_file()}}},
      {"TLS asked for in plain", absl::StrCat("kafka://", good), {}}};
}

// Who is killed is to be missed soon. But a server that is away, or does not answer, is no reason to leave a group:
// then Kafka's own default, as a member that left, and comes again, waits until its former self has expired.
std::string_view SessionFor(std::string_view case_name) {
  for (const std::string_view patient :
       {"ConnectionsAreCut", "TheCredentialsChange", "TheServerIsSilent", "TheServerRestarts"}) {
    if (case_name == patient) return "45000";
  }
  return "1500";
}

Environment KafkaEnvironment(KafkaCluster& cluster, faultproxy::FaultProxy& proxy, const std::string& expired_ca) {
  Environment environment;
  environment.name = "kafka";
  // Topics and groups have names of their own for each case: one cluster for all.
  environment.url = [&cluster](std::string_view case_name) {
    return absl::StrCat("kafka://", kUser, ":", kPassword, "@", cluster.bootstrap_servers(kSasl),
                        "?session.timeout.ms=", SessionFor(case_name));
  };
  const absl::Duration commit_interval = absl::Milliseconds(20);
  environment.native = {{"create_topics", "true"},         {"commit_interval", absl::FormatDuration(commit_interval)},
                        {"heartbeat.interval.ms", "200"},  {"topic.metadata.refresh.interval.ms", "1000"},
                        {"message.max.bytes", "17000000"}, {"sasl.mechanism", "SCRAM-SHA-256"}};
  environment.takeover = absl::Seconds(5);
  // A group's progress is what it has committed, and what a member did since then comes again when it dies: that is
  // Kafka's at least once. Who lives commits it later, whatever becomes of its connections or the server; and senders
  // are idempotent: no other fault brings anything twice.
  environment.unconfirmed = commit_interval + kCommitAnswer;
  environment.break_dead_letters = [&cluster](Broker&, const std::string&) -> std::function<void()> {
    const auto dead = [](std::string_view topic) { return absl::StartsWith(topic, "__messaging.dead"); };
    EXPECT_EQ(Other(cluster).SetOfTopics(dead, "max.message.bytes", "1"), absl::OkStatus());
    return [&cluster, dead] {
      EXPECT_EQ(Other(cluster).SetOfTopics(dead, "max.message.bytes", "20000000"), absl::OkStatus());
    };
  };
  environment.hold_answers = [&cluster](Broker&, const std::string&) -> std::function<void()> {
    cluster.server().Pause();
    return [&cluster] { cluster.server().Continue(); };
  };
  environment.restart_server = [&cluster](bool kill) {
    if (kill) {
      cluster.server().Kill();
    } else if (absl::Status stopped = cluster.server().Stop(); !stopped.ok()) {
      return stopped;
    }
    return cluster.server().StartAgain();
  };
  environment.take_server_away = [&cluster]() -> std::function<absl::Status()> {
    EXPECT_EQ(cluster.server().Stop(), absl::OkStatus());
    return [&cluster] { return cluster.server().StartAgain(); };
  };
  environment.impatient = {{"start_timeout", "1s"}};
  environment.cut_connections = [&proxy] {
    proxy.Reset();
    return absl::OkStatus();
  };
  // Who is in stays in until it comes again.
  environment.lock_out = [&cluster, &proxy]() -> std::function<void()> {
    EXPECT_EQ(Other(cluster).SetPassword(kUser, "changed"), absl::OkStatus());
    proxy.Reset();
    return [&cluster] { EXPECT_EQ(Other(cluster).SetPassword(kUser, kPassword), absl::OkStatus()); };
  };
  environment.allow_only = [&cluster](const std::string& topic) -> std::function<void()> {
    Other other(cluster);
    for (const std::string& name : {topic, std::string("__messaging")}) {
      EXPECT_EQ(other.Allow(kUser, RD_KAFKA_RESOURCE_TOPIC, name), absl::OkStatus());
    }
    EXPECT_EQ(other.DisallowAllTopics(kUser), absl::OkStatus());
    return [&cluster] { EXPECT_EQ(Other(cluster).Allow(kUser, RD_KAFKA_RESOURCE_TOPIC, "*"), absl::OkStatus()); };
  };
  environment.untrusted = [&cluster, expired_ca] { return UntrustedServers(cluster, expired_ca); };
  // Fewer replicas in sync than a topic asks for: that is what a Kafka that cannot take messages says.
  environment.fill_server = [&cluster]() -> std::function<void()> {
    const auto ours = [](std::string_view topic) { return !absl::StartsWith(topic, "__"); };
    EXPECT_EQ(Other(cluster).SetOfTopics(ours, "min.insync.replicas", "2"), absl::OkStatus());
    return
        [&cluster, ours] { EXPECT_EQ(Other(cluster).SetOfTopics(ours, "min.insync.replicas", ""), absl::OkStatus()); };
  };
  environment.delete_topic = [&cluster](const std::string&, const std::string& topic) {
    return Other(cluster).DeleteTopic(topic);
  };
  environment.send_foreign = [&cluster](const std::string&, const Message& message) {
    return Other(cluster).Send(message);
  };
  environment.cannot = {{"end_uncleanly", "a member ends uncleanly with its process only: the cases that kill one"}};
  environment.expected_skips = {{"AnUncleanEndLosesNothing", environment.cannot["end_uncleanly"]}};
  for (const char* name : {"MembersShare", "WhatWasNotBegunIsReleasedAtOnce"}) {
    environment.expected_skips[name] = "members share partitions: what waits in a busy one's is not for others";
  }
  return environment;
}

}  // namespace

// The user and all rights that a service needs that may make topics.
absl::Status LetIn(const KafkaCluster& cluster) {
  Other other(cluster);
  absl::Status status = other.SetPassword(kUser, kPassword);
  status.Update(other.Allow(kUser, RD_KAFKA_RESOURCE_TOPIC, "*"));
  status.Update(other.Allow(kUser, RD_KAFKA_RESOURCE_GROUP, "*"));
  for (const auto operation : {RD_KAFKA_ACL_OPERATION_DESCRIBE, RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS}) {
    status.Update(other.Allow(kUser, RD_KAFKA_RESOURCE_BROKER, "kafka-cluster", operation));
  }
  return status;
}

// What stands in FOLDER/expired.pem, as Java wants it: a certificate that is not valid any more, and its key.
absl::Status MakeExpired(const std::string& folder) {
  absl::Status status = servers::MakeAuthority(folder);
  status.Update(servers::MakeCertificate(folder, "expired", {.expired = true}));
  std::ofstream store(folder + "/expired.pem");
  for (const char* part : {"expired.key", "expired.crt", "ca.crt"}) {
    store << std::ifstream(absl::StrCat(folder, "/", part)).rdbuf();
  }
  return status;
}

}  // namespace messaging::conformance

int main(int argc, char** argv) {
  using messaging::conformance::kExpired;
  using messaging::conformance::kSasl;
  std::unique_ptr<messaging::faultproxy::FaultProxy> proxy;
  const std::string folder = testing::TempDir();
  messaging::servers::KafkaCluster cluster(
      {.properties = {"group.min.session.timeout.ms=1000", "message.max.bytes=20000000",
                      "replica.fetch.max.bytes=20000000", "sasl.enabled.mechanisms=SCRAM-SHA-256",
                      "listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config="
                      "org.apache.kafka.common.security.scram.ScramLoginModule required;",
                      "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config="
                      "org.apache.kafka.common.security.scram.ScramLoginModule required;",
                      absl::StrCat("listener.name.sasl_ssl.ssl.keystore.location=", folder, "/expired.pem"),
                      "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                      "super.users=User:ANONYMOUS"},
       .listeners = {kSasl, "SSL", kExpired},
       .advertise = [&proxy](const std::string& listener, int port) {
         if (listener != kSasl) return port;
         proxy = std::make_unique<messaging::faultproxy::FaultProxy>(port);
         return proxy->port();
       }});
  absl::Status status = messaging::conformance::MakeExpired(folder);
  if (status.ok()) status = cluster.Start();
  if (status.ok()) status = messaging::conformance::LetIn(cluster);
  if (!status.ok()) {
    fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    return 1;
  }
  return messaging::conformance::Main(argc, argv,
                                      messaging::conformance::KafkaEnvironment(cluster, *proxy, folder + "/ca.crt"));
}
