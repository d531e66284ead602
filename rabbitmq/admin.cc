#include "rabbitmq/admin.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "messaging/broker/names.h"
#include "rabbitmq/looker.h"
#include "rabbitmq/topology.h"

namespace messaging::rabbitmq {
namespace {

constexpr int kChannel = 1;
constexpr char kByBoth[] = "waiting, dead and members by AMQP, the rest by the management API, some seconds old";
constexpr char kByAmqp[] = "what is in flight and waits for a retry is told by the management API only: management_url";

std::optional<int64_t> Number(const nlohmann::json& queue, const char* name) {
  if (!queue.contains(name) || !queue[name].is_number_integer()) return std::nullopt;
  return queue[name].get<int64_t>();
}

std::string Argument(const nlohmann::json& queue, const char* name) {
  if (!queue.contains("arguments") || !queue["arguments"].is_object()) return "";
  const nlohmann::json& arguments = queue["arguments"];
  return arguments.contains(name) && arguments[name].is_string() ? arguments[name].get<std::string>() : "";
}

// Delay queues are known by where they give back to.
bool GivesBackTo(const std::string& name, const nlohmann::json& listed, const std::string& queue) {
  return IsInternalPlace(name) && Argument(listed, "x-dead-letter-routing-key") == queue;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> RabbitmqAdmin::Connect() {
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect_("look");
  if (!connection.ok()) return connection.status();
  amqp_channel_open((*connection)->state(), kChannel);
  const absl::Status opened = (*connection)->LastStatus(kChannel);
  if (!opened.ok()) return opened;
  return connection;
}

absl::StatusOr<RabbitmqAdmin::Listed> RabbitmqAdmin::ListPlaces(const std::string& topic, const std::string& group) {
  Listed listed;
  if (!management_.given() && !topic.empty() && !group.empty()) {
    const int partitions = options_.PartitionsOf(topic);
    for (int i = partitions == 0 ? -1 : 0; i < partitions; ++i) listed.places.push_back({topic, group, i});
    return listed;
  }
  const auto queues =
      management_.List("queues", "name,type,arguments,messages_unacknowledged,consumers,effective_policy_definition");
  if (!queues.ok()) {
    if (queues.status().code() != absl::StatusCode::kUnimplemented) return queues.status();
    return absl::UnimplementedError(absl::StrCat(
        options_.Address(), ": AMQP lists no queues: name a topic and a group, or give the option management_url"));
  }
  for (const nlohmann::json& queue : *queues) {
    const std::string name = queue.value("name", "");
    listed.queues[name] = queue;
    Place place;
    if (IsInternalPlace(name) || !ParseQueueName(name, place.topic, place.group, place.partition)) continue;
    if (!topic.empty() && place.topic != topic) continue;
    if (!group.empty() && place.group != group) continue;
    listed.places.push_back(std::move(place));
  }
  std::sort(listed.places.begin(), listed.places.end());
  return listed;
}

absl::StatusOr<std::vector<TopicInfo>> RabbitmqAdmin::Topics(const std::string& topic) {
  const absl::StatusOr<Listed> listed = ListPlaces(topic, "");
  if (!listed.ok()) return listed.status();
  std::vector<TopicInfo> all;
  for (const Place& place : listed->places) {  // By topic, then group.
    if (all.empty() || all.back().name != place.topic) {
      all.push_back({.name = place.topic});
      const auto queue = listed->queues.find(QueueName(options_, place.topic, place.group, place.partition));
      if (queue != listed->queues.end()) all.back().settings["x-queue-type"] = queue->second.value("type", "");
    }
    TopicInfo& info = all.back();
    info.partitions = std::max(info.partitions, place.partition + 1);
    if (info.groups.empty() || info.groups.back() != place.group) info.groups.push_back(place.group);
  }
  return all;
}

absl::Status RabbitmqAdmin::DeclareGroup(Connection& connection, const std::string& topic, const std::string& group,
                                         int partition) {
  const QueueSpec spec = GroupQueue(options_, topic, group, partition, connection.version());
  const absl::Status declared = DeclareBlocking(connection, kChannel, spec);
  if (declared.code() == absl::StatusCode::kFailedPrecondition) {
    return absl::AlreadyExistsError(
        absl::StrCat("the queue ", spec.name, " is there with other arguments: ", declared.message()));
  }
  if (!declared.ok()) return declared;
  const std::string exchange = ExchangeOf(options_, topic);
  const std::string key = RoutingKey(options_, topic, partition);
  amqp_queue_bind(connection.state(), kChannel, Bytes(spec.name), Bytes(exchange), Bytes(key), amqp_empty_table);
  return connection.LastStatus(kChannel);
}

absl::Status RabbitmqAdmin::Declare(const TopicDeclaration& declaration) {
  const std::string& topic = declaration.topic;
  if (!declaration.options.settings.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("rabbitmq makes no topic with settings, and none called ",
                                                   declaration.options.settings.begin()->first));
  }
  absl::StatusOr<std::unique_ptr<Connection>> connection = Connect();
  if (!connection.ok()) return connection.status();
  amqp_exchange_declare((*connection)->state(), kChannel, Bytes(options_.exchange), Bytes("topic"), 0, /*durable=*/1, 0,
                        0, amqp_empty_table);
  if (const absl::Status status = (*connection)->LastStatus(kChannel); !status.ok()) return status;
  const int wanted = declaration.options.partitions > 0 ? declaration.options.partitions : options_.PartitionsOf(topic);
  for (const std::string& group : declaration.groups) {
    // Messages for partitions that nobody consumes, or that there are not, would be left aside.
    const int other = wanted == 0 ? 0 : -1;
    for (const int partition : {other, wanted}) {
      if (partition == 0 && wanted == 0 && partition != other) continue;
      if (FiguresOf(**connection, kChannel, QueueName(options_, topic, group, partition)).ok()) {
        return absl::AlreadyExistsError(absl::StrCat("topic ", topic, " has ", partition < 0 ? "no" : "other",
                                                     " partitions in group ", group, ", not ", wanted,
                                                     ": give senders and consumers the same number"));
      }
    }
    for (int i = wanted == 0 ? -1 : 0; i < wanted; ++i) {
      if (const absl::Status status = DeclareGroup(**connection, topic, group, i); !status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

absl::Status RabbitmqAdmin::Remove(const std::string& topic) {
  if (const std::string foreign = options_.SettingOf(topic, "queue"); !foreign.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("topic ", topic, " is the queue ", foreign, ", which others made: delete it where it comes from"));
  }
  if (!management_.given()) {
    return absl::UnimplementedError(absl::StrCat(options_.Address(),
                                                 ": AMQP lists no queues, and so not the groups of ", topic,
                                                 ": give the option management_url"));
  }
  const absl::StatusOr<Listed> listed = ListPlaces(topic, "");
  if (!listed.ok()) return listed.status();
  absl::StatusOr<std::unique_ptr<Connection>> connection = Connect();
  if (!connection.ok()) return connection.status();
  // What groups keep beside their queues first: it is found by these, should this end in the middle.
  std::vector<std::string> kept, queues;
  for (const Place& place : listed->places) {
    queues.push_back(QueueName(options_, place.topic, place.group, place.partition));
    kept.push_back(DeadLetterPlace(place.topic, place.group));
    kept.push_back(NotesStream(place.topic, place.group).name);
    kept.push_back(MembersQueue(place.topic, place.group).name);
    for (const auto& [name, each] : listed->queues) {
      if (GivesBackTo(name, each, queues.back())) kept.push_back(name);
    }
  }
  kept.insert(kept.end(), queues.begin(), queues.end());
  for (const std::string& name : kept) {  // One that is not there is deleted, too.
    amqp_queue_delete((*connection)->state(), kChannel, Bytes(name), /*if_unused=*/0, /*if_empty=*/0);
    if (const absl::Status status = (*connection)->LastStatus(kChannel); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status RabbitmqAdmin::AddRetries(Connection& connection, const Listed& listed, const std::string& queue,
                                       GroupLag& lag) {
  lag.retrying = 0;
  for (const auto& [name, each] : listed.queues) {
    if (!GivesBackTo(name, each, queue)) continue;
    const absl::StatusOr<QueueFigures> figures = FiguresOf(connection, kChannel, name);
    if (!figures.ok()) return figures.status();
    *lag.retrying += figures->ready;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<GroupLag>> RabbitmqAdmin::Lag(const std::string& topic, const std::string& group) {
  const absl::StatusOr<Listed> listed = ListPlaces(topic, group);
  if (!listed.ok()) return listed.status();
  absl::StatusOr<std::unique_ptr<Connection>> connection = Connect();
  if (!connection.ok()) return connection.status();
  std::vector<GroupLag> all;
  for (const Place& place : listed->places) {
    const std::string name = QueueName(options_, place.topic, place.group, place.partition);
    const absl::StatusOr<QueueFigures> figures = FiguresOf(**connection, kChannel, name);
    if (figures.status().code() == absl::StatusCode::kNotFound) continue;
    if (!figures.ok()) return figures.status();
    GroupLag lag{.topic = place.topic, .group = place.group, .partition = place.partition};
    lag.waiting = figures->ready;
    lag.members = figures->consumers;
    lag.note = management_.given() ? kByBoth : kByAmqp;
    if (const auto queue = listed->queues.find(name); queue != listed->queues.end()) {
      lag.in_flight = Number(queue->second, "messages_unacknowledged");
      if (const absl::Status status = AddRetries(**connection, *listed, name, lag); !status.ok()) return status;
    }
    if (place.partition <= 0) {  // One place for all partitions.
      const absl::StatusOr<QueueFigures> dead =
          FiguresOf(**connection, kChannel, DeadLetterPlace(place.topic, place.group));
      lag.dead = dead.ok() ? dead->ready : 0;
    }
    all.push_back(std::move(lag));
  }
  return all;
}

}  // namespace messaging::rabbitmq
