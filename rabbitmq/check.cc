// RabbitmqAdmin::Check: what would lose messages, or keep a service from working, looked at before it does.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "rabbitmq/admin.h"
#include "rabbitmq/looker.h"
#include "rabbitmq/topology.h"

namespace messaging::rabbitmq {
namespace {

using Level = Finding::Level;

constexpr int kChannel = 1;
constexpr Version kOldest = {3, 10};

// What a policy may do to a queue of ours.
constexpr const char* kHarmful[] = {"delivery-limit", "expires", "max-length", "max-length-bytes", "message-ttl"};

}  // namespace

void RabbitmqAdmin::CheckServer(Connection& connection, absl::Duration took, std::vector<Finding>& findings) {
  Finding server{.subject = "server",
                 .message = absl::StrCat(options_.Address(), ", version ", connection.version_text(), ", answered in ",
                                         absl::FormatDuration(absl::Trunc(took, absl::Microseconds(1))))};
  if (connection.version() < kOldest) {
    server.level = Level::kError;
    server.cure = "delays without loss (quorum queues with at-least-once dead-lettering) came with RabbitMQ 3.10";
    server.expected = "3.10 or newer";
    server.found = connection.version_text();
  }
  findings.push_back(std::move(server));
  findings.push_back(
      options_.classic_queues
          ? Finding{.level = Level::kWarning,
                    .subject = "durability",
                    .message = "queue_type is classic: a queue is on one node, and lost with it",
                    .cure = "queue_type=quorum",
                    .expected = "quorum",
                    .found = "classic"}
          : Finding{.subject = "durability", .message = "an accepted message is on the disks of a quorum of nodes"});
  if (!management_.given()) {
    findings.push_back({.level = Level::kWarning,
                        .subject = "management",
                        .message = "alarms and policies are not looked at: the option management_url is not given",
                        .cure = "management_url=http://user:password@host:15672"});
    return;
  }
  const absl::StatusOr<nlohmann::json> nodes = management_.Get("nodes");
  if (!nodes.ok()) {
    findings.push_back({.level = Level::kWarning,
                        .subject = "management",
                        .message = absl::StrCat("alarms are not looked at: ", nodes.status().message()),
                        .cure = "rabbitmqctl set_user_tags USER monitoring"});
    return;
  }
  for (const nlohmann::json& node : *nodes) {
    for (const auto& [alarm, what] : {std::pair("mem_alarm", "memory"), std::pair("disk_free_alarm", "disk")}) {
      if (!node.value(alarm, false)) continue;
      findings.push_back({.level = Level::kError,
                          .subject = absl::StrCat("node ", node.value("name", "")),
                          .message = absl::StrCat("has raised its ", what, " alarm: the server takes no messages"),
                          .cure = absl::StrCat("make room, or raise the limit of its ", what)});
    }
  }
}

void RabbitmqAdmin::CheckQueue(Connection& connection, const std::string& group, const std::string& topic,
                               int partition, std::vector<Finding>& findings) {
  const std::string subject = absl::StrCat("topic ", topic);
  const QueueSpec spec = GroupQueue(options_, topic, group, partition, connection.version());
  const absl::StatusOr<QueueFigures> figures = FiguresOf(connection, kChannel, spec.name);
  if (figures.status().code() == absl::StatusCode::kNotFound) {
    findings.push_back({.subject = subject,
                        .message = absl::StrCat("the queue ", spec.name, " is not there yet: group ", group,
                                                " begins with its first consumer")});
    return;
  }
  if (!figures.ok()) {
    findings.push_back({.level = Level::kError,
                        .subject = subject,
                        .message = absl::StrCat("the queue ", spec.name, ": ", figures.status().message()),
                        .cure = absl::StrCat("rabbitmqctl set_permissions USER '^(", group,
                                             "/|__messaging\\.)' '.*' '^", group, "/'")});
    return;
  }
  Finding finding{.subject = subject,
                  .message = absl::StrCat("the queue ", spec.name, " has ", figures->consumers, " consumers now")};
  const bool foreign = !options_.SettingOf(topic, "queue").empty();
  const absl::Status same = foreign ? absl::OkStatus() : DeclareBlocking(connection, kChannel, spec);
  if (same.code() == absl::StatusCode::kFailedPrecondition) {
    const bool limit = absl::StrContains(same.message(), "x-delivery-limit");
    finding.level = limit ? Level::kWarning : Level::kError;
    finding.message = absl::StrCat("the queue ", spec.name, " was made with other arguments",
                                   limit ? ": what is delivered more often than its limit is dropped" : "");
    finding.cure = limit ? "a policy with a higher delivery-limit, or delete the queue when it is empty"
                         : "delete the queue when it is empty, or consume it as it is by the topic's setting queue";
    finding.found = std::string(same.message());
    finding.expected = "as this library makes it";
  }
  findings.push_back(std::move(finding));
}

absl::StatusOr<std::vector<Finding>> RabbitmqAdmin::Check(const std::string& group,
                                                          const std::vector<TopicPlan>& topics) {
  const absl::Time before = absl::Now();
  absl::StatusOr<std::unique_ptr<Connection>> connection = Connect();
  if (!connection.ok()) return connection.status();
  std::vector<Finding> findings;
  CheckServer(**connection, absl::Now() - before, findings);
  for (const TopicPlan& plan : topics) {
    if (group.empty()) continue;
    const int partitions = options_.PartitionsOf(plan.topic);
    for (int i = partitions == 0 ? -1 : 0; i < partitions; ++i) {
      CheckQueue(**connection, group, plan.topic, i, findings);
    }
  }
  const absl::StatusOr<Listed> listed = management_.given() ? ListPlaces("", group) : Listed();
  for (const TopicPlan& plan : topics) {
    for (const Place& place : listed.ok() ? listed->places : std::vector<Place>()) {
      if (place.topic != plan.topic) continue;
      const std::string name = QueueName(options_, place.topic, place.group, place.partition);
      const nlohmann::json& queue = listed->queues.at(name);
      if (!queue.contains("effective_policy_definition")) continue;
      for (const char* harmful : kHarmful) {
        if (!queue["effective_policy_definition"].contains(harmful)) continue;
        findings.push_back({.level = Level::kWarning,
                            .subject = absl::StrCat("topic ", plan.topic),
                            .message = absl::StrCat("a policy sets ", harmful, " on the queue ", name,
                                                    ": the server may drop messages that nobody handled"),
                            .cure = "rabbitmqctl list_policies, and leave this queue out"});
      }
    }
  }
  return findings;
}

}  // namespace messaging::rabbitmq
