#include <librdkafka/rdkafka.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "messaging/message.h"
#include "tests/conformance/conformance.h"
#include "tests/servers/kafka_server.h"

namespace messaging::conformance {
namespace {

using servers::KafkaCluster;

constexpr int kAskMilliseconds = 20'000;

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

Environment KafkaEnvironment(KafkaCluster& cluster) {
  Environment environment;
  environment.name = "kafka";
  // Topics and groups have names of their own for each case: one cluster for all.
  environment.url = [&cluster](std::string_view) { return absl::StrCat("kafka://", cluster.bootstrap_servers()); };
  environment.native = {{"create_topics", "true"},
                        {"commit_interval", "20ms"},
                        {"session.timeout.ms", "1500"},
                        {"heartbeat.interval.ms", "200"},
                        {"topic.metadata.refresh.interval.ms", "1000"},
                        {"message.max.bytes", "17000000"}};
  environment.takeover = absl::Seconds(5);
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
  environment.cannot = {{"end_uncleanly", "a member ends uncleanly with its process only: the cases that kill one"},
                        {"cut_connections", "the server has no command for it"}};
  environment.expected_skips = {{"AnUncleanEndLosesNothing", environment.cannot["end_uncleanly"]},
                                {"ConnectionsAreCut", environment.cannot["cut_connections"]}};
  for (const char* name : {"MembersShare", "WhatWasNotBegunIsReleasedAtOnce"}) {
    environment.expected_skips[name] = "members share partitions: what waits in a busy one's is not for others";
  }
  return environment;
}

}  // namespace
}  // namespace messaging::conformance

int main(int argc, char** argv) {
  messaging::servers::KafkaCluster cluster(
      {.properties = {"group.min.session.timeout.ms=1000", "message.max.bytes=20000000",
                      "replica.fetch.max.bytes=20000000"}});
  if (const absl::Status status = cluster.Start(); !status.ok()) {
    fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    return 1;
  }
  return messaging::conformance::Main(argc, argv, messaging::conformance::KafkaEnvironment(cluster));
}
