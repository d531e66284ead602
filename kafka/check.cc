// KafkaAdmin::Check: what is wrong, or may become so.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "kafka/admin.h"
#include "kafka/places.h"
#include "messaging/broker/names.h"

namespace messaging::kafka {
namespace {

using Level = Finding::Level;

constexpr absl::Duration kAsk = absl::Seconds(10);

std::string ValueOf(const std::map<std::string, std::string>& settings, const std::string& name) {
  const auto found = settings.find(name);
  return found == settings.end() ? "" : found->second;
}

int64_t NumberOf(const std::map<std::string, std::string>& settings, const std::string& name, int64_t otherwise) {
  int64_t number = 0;
  return absl::SimpleAtoi(ValueOf(settings, name), &number) ? number : otherwise;
}

// Which operations a client may do there; empty: the server does not say.
bool May(const rd_kafka_AclOperation_t* operations, size_t count, rd_kafka_AclOperation_t wanted) {
  if (count == 0) return true;
  return std::any_of(operations, operations + count, [&](rd_kafka_AclOperation_t operation) {
    return operation == wanted || operation == RD_KAFKA_ACL_OPERATION_ALL;
  });
}

struct Topic {
  int partitions = 0;
  int replicas = 0;
  int in_sync = 0;  // The fewest of any partition.
  bool may_read = true;
  bool may_write = true;
};

// NotFound, PermissionDenied, or what the server says of it.
absl::StatusOr<Topic> Describe(rd_kafka_t* handle, const KafkaOptions& options, const std::string& name) {
  const char* names[] = {name.c_str()};
  rd_kafka_TopicCollection_t* const wanted = rd_kafka_TopicCollection_of_topic_names(names, 1);
  const absl::StatusOr<Event> event =
      AskAdmin(handle, options, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, kAsk,
               [&](rd_kafka_AdminOptions_t* request, rd_kafka_queue_t* answers) {
                 const Error ignored(rd_kafka_AdminOptions_set_include_authorized_operations(request, 1));
                 rd_kafka_DescribeTopics(handle, wanted, request, answers);
               });
  rd_kafka_TopicCollection_destroy(wanted);
  if (!event.ok()) return event.status();
  size_t count = 0;
  const rd_kafka_TopicDescription_t** const topics =
      rd_kafka_DescribeTopics_result_topics(rd_kafka_event_DescribeTopics_result(event->get()), &count);
  if (count != 1) return absl::UnavailableError(absl::StrCat(options.Address(), ": no answer"));
  if (const rd_kafka_error_t* error = rd_kafka_TopicDescription_error(topics[0])) {
    if (rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return StatusOf(rd_kafka_error_code(error), options, absl::StrCat("topic ", name), rd_kafka_error_string(error));
    }
  }
  Topic topic;
  size_t operations = 0;
  const rd_kafka_AclOperation_t* const may = rd_kafka_TopicDescription_authorized_operations(topics[0], &operations);
  topic.may_read = May(may, operations, RD_KAFKA_ACL_OPERATION_READ);
  topic.may_write = May(may, operations, RD_KAFKA_ACL_OPERATION_WRITE);
  size_t partitions = 0;
  const rd_kafka_TopicPartitionInfo_t** const all = rd_kafka_TopicDescription_partitions(topics[0], &partitions);
  topic.partitions = static_cast<int>(partitions);
  topic.in_sync = partitions == 0 ? 0 : 1'000;
  for (size_t i = 0; i < partitions; ++i) {
    size_t replicas = 0;
    size_t in_sync = 0;
    (void)rd_kafka_TopicPartitionInfo_replicas(all[i], &replicas);
    (void)rd_kafka_TopicPartitionInfo_isr(all[i], &in_sync);
    topic.replicas = std::max(topic.replicas, static_cast<int>(replicas));
    topic.in_sync = std::min(topic.in_sync, static_cast<int>(in_sync));
  }
  return topic;
}

// What its settings and copies mean for what it accepted.
void CheckDurability(const std::string& subject, const Topic& topic, const std::map<std::string, std::string>& settings,
                     std::vector<Finding>& findings) {
  const int64_t in_sync = NumberOf(settings, "min.insync.replicas", 1);
  if (topic.replicas == 1) {
    findings.push_back({.level = Level::kWarning,
                        .subject = subject,
                        .message = "has one replica: it is lost with its broker's disk",
                        .cure = "give it three: kafka-reassign-partitions, and replicas where it is declared",
                        .expected = "replication factor 3",
                        .found = "replication factor 1"});
  } else if (in_sync < 2) {
    findings.push_back(
        {.level = Level::kWarning,
         .subject = subject,
         .message = "min.insync.replicas is 1: a message may be accepted by one broker alone, and lost",
         .cure = absl::StrCat("kafka-configs --alter --entity-type topics --entity-name ",
                              subject.substr(subject.find(' ') + 1), " --add-config min.insync.replicas=2"),
         .expected = "min.insync.replicas 2",
         .found = "min.insync.replicas 1"});
  }
  if (topic.in_sync < in_sync) {
    findings.push_back({.level = Level::kError,
                        .subject = subject,
                        .message = "too few of its replicas are in sync: it takes no messages",
                        .cure = "bring its brokers back",
                        .expected = absl::StrCat(in_sync, " in sync"),
                        .found = absl::StrCat(topic.in_sync, " in sync")});
  }
  if (ValueOf(settings, "unclean.leader.election.enable") == "true") {
    findings.push_back(
        {.level = Level::kWarning,
         .subject = subject,
         .message = "unclean.leader.election.enable is true: accepted messages may be lost when brokers fail",
         .cure = "set it to false",
         .expected = "false",
         .found = "true"});
  }
}

}  // namespace

void KafkaAdmin::CheckCluster(std::vector<Finding>& findings) {
  const absl::StatusOr<rd_kafka_t*> handle = reader_.handle();
  if (!handle.ok()) return;
  const absl::StatusOr<Event> event =
      AskAdmin(*handle, *options_, RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER, kAsk,
               [&](rd_kafka_AdminOptions_t* request, rd_kafka_queue_t* answers) {
                 const Error ignored(rd_kafka_AdminOptions_set_include_authorized_operations(request, 1));
                 rd_kafka_DescribeCluster(*handle, request, answers);
               });
  if (!event.ok()) {
    findings.push_back({.level = Level::kError,
                        .subject = "server",
                        .message = std::string(event.status().message()),
                        .cure = "look at the address, the network and the credentials"});
    return;
  }
  const rd_kafka_DescribeCluster_result_t* const result = rd_kafka_event_DescribeCluster_result(event->get());
  size_t nodes = 0;
  const rd_kafka_Node_t** const brokers = rd_kafka_DescribeCluster_result_nodes(result, &nodes);
  std::string version;
  if (nodes > 0) {
    const absl::StatusOr<Settings> settings = SettingsOf(false, absl::StrCat(rd_kafka_Node_id(brokers[0])));
    if (settings.ok()) version = ValueOf(*settings, "inter.broker.protocol.version");
    if (settings.ok() && version.empty()) version = "not told, as by Kafka 4 and newer";
  }
  findings.push_back(
      {.subject = "server",
       .message = absl::StrCat(options_->Address(), ", cluster ", rd_kafka_DescribeCluster_result_cluster_id(result),
                               ", ", nodes, nodes == 1 ? " broker" : " brokers",
                               version.empty() ? "" : absl::StrCat(", version ", version), "; librdkafka ",
                               rd_kafka_version_str())});
  size_t operations = 0;
  const rd_kafka_AclOperation_t* const may = rd_kafka_DescribeCluster_result_authorized_operations(result, &operations);
  if (!May(may, operations, RD_KAFKA_ACL_OPERATION_IDEMPOTENT_WRITE)) {
    // Since 2.8 the right to write to a topic is enough.
    findings.push_back(
        {.subject = "server", .message = "no right IdempotentWrite on the cluster; newer servers need none"});
  }
}

void KafkaAdmin::CheckTopic(const std::string& group, const TopicPlan& plan, std::vector<Finding>& findings) {
  const absl::StatusOr<rd_kafka_t*> handle = reader_.handle();
  if (!handle.ok()) return;
  const std::string subject = absl::StrCat("topic ", plan.topic);
  const absl::StatusOr<Topic> topic = Describe(*handle, *options_, plan.topic);
  if (absl::IsNotFound(topic.status())) {
    const bool made = options_->MayCreate(plan.topic);
    findings.push_back(
        {.level = made ? Level::kOk : Level::kWarning,
         .subject = subject,
         .message = made ? "is not there yet: its first message or consumer makes it" : "is not there",
         .cure =
             made ? "" : absl::StrCat("core topics declare ", plan.topic, ", or create_topics=true for this client")});
    return;
  }
  if (!topic.ok()) {
    findings.push_back(
        {.level = Level::kError,
         .subject = subject,
         .message = std::string(topic.status().message()),
         .cure = "kafka-acls --add --allow-principal USER --operation Read --operation Write --topic ..."});
    return;
  }
  const size_t before = findings.size();
  for (const auto& [may, what] : {std::pair(topic->may_read, "Read"), std::pair(topic->may_write, "Write")}) {
    if (may) continue;
    findings.push_back(
        {.level = Level::kWarning,
         .subject = subject,
         .message = absl::StrCat("no right to ", what == std::string("Read") ? "consume" : "send"),
         .cure = absl::StrCat("kafka-acls --add --allow-principal USER --operation ", what, " --topic ", plan.topic)});
  }
  const absl::StatusOr<Settings> settings = SettingsOf(true, plan.topic);
  if (settings.ok()) {
    CheckDurability(subject, *topic, *settings, findings);
    const int64_t largest = NumberOf(*settings, "max.message.bytes", 1 << 20);
    int64_t ours = 1 << 20;
    const auto given = options_->properties.find("message.max.bytes");
    if (given != options_->properties.end()) (void)absl::SimpleAtoi(given->second, &ours);
    if (largest < ours) {
      findings.push_back(
          {.level = Level::kWarning,
           .subject = subject,
           .message = "takes smaller messages than this client lets through: the largest are refused late",
           .cure = "set message.max.bytes of this client to the topic's max.message.bytes",
           .expected = absl::StrCat("max.message.bytes ", ours),
           .found = absl::StrCat("max.message.bytes ", largest)});
    }
  }
  if (!group.empty()) {
    for (const absl::Duration rung : plan.retry_rungs) {
      const std::string place = RetryPlace(plan.topic, group, rung);
      const absl::StatusOr<Settings> kept = SettingsOf(true, place);
      const int64_t retention = kept.ok() ? NumberOf(*kept, "retention.ms", -1) : -1;
      if (retention < 0 || retention > 2 * absl::ToInt64Milliseconds(rung)) continue;
      findings.push_back({.level = Level::kError,
                          .subject = absl::StrCat("topic ", place),
                          .message = "keeps retries for less time than they wait: they are lost",
                          .cure = "raise its retention.ms, or set it to -1",
                          .expected = absl::StrCat("retention.ms above ", 2 * absl::ToInt64Milliseconds(rung)),
                          .found = absl::StrCat("retention.ms ", retention)});
    }
  }
  if (findings.size() > before) return;
  Finding good{.subject = subject, .message = absl::StrCat("is there, ", topic->partitions, " partitions")};
  if (!group.empty()) {
    const absl::StatusOr<int> members = MembersOf(group);
    absl::StrAppend(&good.message, "; group ", group, " has ", members.ok() ? *members : 0, " consumers now");
  }
  findings.push_back(std::move(good));
}

std::vector<Finding> KafkaAdmin::DurabilityFindings() {
  const absl::StatusOr<rd_kafka_t*> handle = reader_.handle();
  if (!handle.ok()) return {};
  const absl::StatusOr<Metadata> metadata = AskMetadata(*handle, *options_, nullptr, kAsk);
  if (!metadata.ok() || (*metadata)->broker_cnt == 0) return {};
  const absl::StatusOr<Settings> settings = SettingsOf(false, absl::StrCat((*metadata)->brokers[0].id));
  if (!settings.ok()) return {};
  std::vector<Finding> findings;
  const Topic defaults{.replicas = static_cast<int>(NumberOf(*settings, "default.replication.factor", 1)),
                       .in_sync = 1'000};
  CheckDurability("new topics", defaults, *settings, findings);
  return findings;
}

absl::StatusOr<std::vector<Finding>> KafkaAdmin::Check(const std::string& group, const std::vector<TopicPlan>& topics) {
  const absl::StatusOr<rd_kafka_t*> handle = reader_.handle();
  if (!handle.ok()) return handle.status();
  if (const absl::StatusOr<Metadata> metadata = AskMetadata(*handle, *options_, nullptr, kAsk); !metadata.ok()) {
    return metadata.status();
  }
  std::vector<Finding> findings;
  CheckCluster(findings);
  for (const TopicPlan& plan : topics) CheckTopic(group, plan, findings);
  return findings;
}

}  // namespace messaging::kafka
