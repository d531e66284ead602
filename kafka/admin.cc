#include "kafka/admin.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "kafka/offsets.h"
#include "kafka/places.h"
#include "kafka/record.h"
#include "messaging/broker/names.h"

namespace messaging::kafka {
namespace {

constexpr absl::Duration kAsk = absl::Seconds(10);

using Request = rd_kafka_AdminOptions_t*;
using Answers = rd_kafka_queue_t*;

}  // namespace

absl::StatusOr<std::vector<std::string>> KafkaAdmin::UserTopics(const std::string& topic) {
  absl::StatusOr<std::vector<std::string>> names = reader_.TopicNames();
  if (!names.ok()) return names;
  std::erase_if(*names, [&](const std::string& name) {
    return IsInternalPlace(name) || absl::StartsWith(name, "__") || (!topic.empty() && name != topic);
  });
  return names;
}

absl::StatusOr<std::vector<std::string>> KafkaAdmin::Groups() {
  const absl::StatusOr<rd_kafka_t*> handle = reader_.handle();
  if (!handle.ok()) return handle.status();
  const absl::StatusOr<Event> event =
      AskAdmin(*handle, *options_, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, kAsk,
               [&](Request request, Answers answers) { rd_kafka_ListConsumerGroups(*handle, request, answers); });
  if (!event.ok()) return event.status();
  size_t count = 0;
  const rd_kafka_ConsumerGroupListing_t** const groups =
      rd_kafka_ListConsumerGroups_result_valid(rd_kafka_event_ListConsumerGroups_result(event->get()), &count);
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) names.emplace_back(rd_kafka_ConsumerGroupListing_group_id(groups[i]));
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<Positions> KafkaAdmin::PositionsOf(const std::string& group) {
  const absl::StatusOr<rd_kafka_t*> handle = reader_.handle();
  if (!handle.ok()) return handle.status();
  rd_kafka_ListConsumerGroupOffsets_t* question = rd_kafka_ListConsumerGroupOffsets_new(group.c_str(), nullptr);
  const absl::StatusOr<Event> event = AskAdmin(
      *handle, *options_, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, kAsk, [&](Request request, Answers answers) {
        rd_kafka_ListConsumerGroupOffsets(*handle, &question, 1, request, answers);
      });
  rd_kafka_ListConsumerGroupOffsets_destroy(question);
  if (!event.ok()) return event.status();
  size_t count = 0;
  const rd_kafka_group_result_t** const results = rd_kafka_ListConsumerGroupOffsets_result_groups(
      rd_kafka_event_ListConsumerGroupOffsets_result(event->get()), &count);
  Positions positions;
  for (size_t i = 0; i < count; ++i) {
    if (const rd_kafka_error_t* error = rd_kafka_group_result_error(results[i])) {
      return StatusOf(rd_kafka_error_code(error), *options_, absl::StrCat("group ", group),
                      rd_kafka_error_string(error));
    }
    const rd_kafka_topic_partition_list_t* const list = rd_kafka_group_result_partitions(results[i]);
    for (int j = 0; j < list->cnt; ++j) {
      const rd_kafka_topic_partition_t& one = list->elems[j];
      if (one.offset < 0) continue;
      positions[{one.topic, one.partition}] = {
          one.offset,
          one.metadata == nullptr ? "" : std::string(static_cast<const char*>(one.metadata), one.metadata_size)};
    }
  }
  return positions;
}

absl::StatusOr<int> KafkaAdmin::MembersOf(const std::string& group) {
  const absl::StatusOr<rd_kafka_t*> handle = reader_.handle();
  if (!handle.ok()) return handle.status();
  const char* names[] = {group.c_str()};
  const absl::StatusOr<Event> event = AskAdmin(
      *handle, *options_, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, kAsk,
      [&](Request request, Answers answers) { rd_kafka_DescribeConsumerGroups(*handle, names, 1, request, answers); });
  if (!event.ok()) return event.status();
  size_t count = 0;
  const rd_kafka_ConsumerGroupDescription_t** const groups =
      rd_kafka_DescribeConsumerGroups_result_groups(rd_kafka_event_DescribeConsumerGroups_result(event->get()), &count);
  if (count != 1) return absl::NotFoundError(group);
  return static_cast<int>(rd_kafka_ConsumerGroupDescription_member_count(groups[0]));
}

absl::StatusOr<KafkaAdmin::Settings> KafkaAdmin::SettingsOf(bool topic, const std::string& name) {
  const absl::StatusOr<rd_kafka_t*> handle = reader_.handle();
  if (!handle.ok()) return handle.status();
  rd_kafka_ConfigResource_t* resource =
      rd_kafka_ConfigResource_new(topic ? RD_KAFKA_RESOURCE_TOPIC : RD_KAFKA_RESOURCE_BROKER, name.c_str());
  const absl::StatusOr<Event> event = AskAdmin(
      *handle, *options_, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, kAsk,
      [&](Request request, Answers answers) { rd_kafka_DescribeConfigs(*handle, &resource, 1, request, answers); });
  rd_kafka_ConfigResource_destroy(resource);
  if (!event.ok()) return event.status();
  size_t count = 0;
  const rd_kafka_ConfigResource_t** const resources =
      rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event->get()), &count);
  Settings settings;
  for (size_t i = 0; i < count; ++i) {
    const rd_kafka_resp_err_t error = rd_kafka_ConfigResource_error(resources[i]);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return StatusOf(error, *options_, name);
    size_t entries = 0;
    const rd_kafka_ConfigEntry_t** const all = rd_kafka_ConfigResource_configs(resources[i], &entries);
    for (size_t j = 0; j < entries; ++j) {
      if (rd_kafka_ConfigEntry_is_sensitive(all[j]) != 0) continue;
      const char* const value = rd_kafka_ConfigEntry_value(all[j]);
      if (value != nullptr) settings[rd_kafka_ConfigEntry_name(all[j])] = value;
    }
  }
  return settings;
}

absl::StatusOr<std::vector<TopicInfo>> KafkaAdmin::Topics(const std::string& topic) {
  const absl::StatusOr<std::vector<std::string>> names = UserTopics(topic);
  if (!names.ok()) return names.status();
  const absl::StatusOr<std::vector<std::string>> groups = Groups();
  std::map<std::string, std::set<std::string>> groups_of;
  for (const std::string& group : groups.ok() ? *groups : std::vector<std::string>{}) {
    const absl::StatusOr<Positions> positions = PositionsOf(group);
    if (!positions.ok()) continue;
    for (const auto& [place, position] : *positions) groups_of[place.first].insert(group);
  }
  std::vector<TopicInfo> all;
  for (const std::string& name : *names) {
    const absl::StatusOr<std::vector<Range>> bounds = reader_.Bounds(name);
    if (absl::IsNotFound(bounds.status())) continue;  // Deleted meanwhile.
    if (!bounds.ok()) return bounds.status();
    TopicInfo info{.name = name, .partitions = static_cast<int>(bounds->size()), .messages = 0};
    for (const Range& range : *bounds) *info.messages += range.to - range.from;
    const std::set<std::string>& found = groups_of[name];
    info.groups.assign(found.begin(), found.end());
    if (!topic.empty()) {
      absl::StatusOr<Settings> settings = SettingsOf(true, name);
      if (settings.ok()) info.settings = *std::move(settings);
    }
    all.push_back(std::move(info));
  }
  return all;
}

absl::StatusOr<std::vector<GroupLag>> KafkaAdmin::Lag(const std::string& topic, const std::string& group) {
  const absl::StatusOr<std::vector<std::string>> topics = UserTopics(topic);
  if (!topics.ok()) return topics.status();
  const absl::StatusOr<std::vector<std::string>> groups =
      group.empty() ? Groups() : absl::StatusOr<std::vector<std::string>>(std::vector<std::string>{group});
  if (!groups.ok()) return groups.status();
  std::vector<GroupLag> all;
  for (const std::string& name : *groups) {
    const absl::StatusOr<Positions> positions = PositionsOf(name);
    if (!positions.ok()) return positions.status();
    for (const std::string& each : *topics) {
      const bool consumes =
          std::any_of(positions->begin(), positions->end(), [&](const auto& one) { return one.first.first == each; });
      if (!consumes && (group.empty() || topic.empty())) continue;
      absl::StatusOr<std::vector<GroupLag>> some = LagOf(each, name, *positions);
      if (!some.ok()) return some.status();
      all.insert(all.end(), std::make_move_iterator(some->begin()), std::make_move_iterator(some->end()));
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const GroupLag& x, const GroupLag& y) {
    return std::tie(x.topic, x.group, x.partition) < std::tie(y.topic, y.group, y.partition);
  });
  return all;
}

absl::StatusOr<std::vector<GroupLag>> KafkaAdmin::LagOf(const std::string& topic, const std::string& group,
                                                        const Positions& positions) {
  const absl::StatusOr<std::vector<Range>> bounds = reader_.Bounds(topic);
  if (!bounds.ok()) return bounds.status();
  const absl::StatusOr<int> members = MembersOf(group);
  std::vector<GroupLag> lags;
  for (const Range& range : *bounds) {
    GroupLag lag{.topic = topic, .group = group, .partition = range.partition};
    const auto found = positions.find({topic, range.partition});
    const Position position = found == positions.end() ? Position{range.from, ""} : found->second;
    const int64_t from = std::max(position.offset, range.from);
    const Offsets::Counts counts = Offsets::Look(from, position.metadata, range.to);
    lag.waiting = counts.waiting;
    lag.in_flight = counts.in_hand;
    if (found == positions.end()) lag.note = "the group has no position here yet: all that is kept waits";
    if (members.ok()) lag.members = *members;
    if (members.ok() && *members == 0) {  // Nobody has it in hand: an owner that ended uncleanly had.
      lag.waiting = counts.waiting + counts.in_hand;
      lag.in_flight = 0;
    }
    if (*lag.waiting > 0) {
      const int64_t first = range.to - *lag.waiting;
      (void)reader_.Read({{topic, range.partition, std::max(first, range.from), range.to}},
                         [&](const rd_kafka_message_t& message) {
                           lag.oldest = TimeOf(message);
                           return false;
                         });
    }
    lags.push_back(std::move(lag));
  }
  // What waits elsewhere belongs to no partition of the topic: it is told with the first.
  if (!lags.empty()) AddRetries(topic, group, positions, lags.front());
  return lags;
}

void KafkaAdmin::AddRetries(const std::string& topic, const std::string& group, const Positions& positions,
                            GroupLag& lag) {
  const absl::StatusOr<std::vector<std::string>> names = reader_.TopicNames();
  if (!names.ok()) return;
  lag.retrying = 0;
  const std::string prefix = RetryPrefix(topic, group);
  for (const std::string& name : *names) {
    if (!IsRetryPlaceOf(name, prefix) && name != ReplayPlace(topic, group)) continue;
    const absl::StatusOr<std::vector<Range>> bounds = reader_.Bounds(name);
    if (!bounds.ok()) continue;
    for (const Range& range : *bounds) {
      const auto found = positions.find({name, range.partition});
      const Position position = found == positions.end() ? Position{range.from, ""} : found->second;
      const int64_t from = std::max(position.offset, range.from);
      const Offsets::Counts counts = Offsets::Look(from, position.metadata, range.to);
      lag.retrying = *lag.retrying + counts.waiting + counts.in_hand;
      if (counts.waiting == 0) continue;
      (void)reader_.Read({{name, range.partition, range.to - counts.waiting, range.to}},
                         [&](const rd_kafka_message_t& message) {
                           const absl::Time due = DueOf(message);
                           if (due != absl::InfinitePast() && (!lag.next_retry || due < *lag.next_retry)) {
                             lag.next_retry = due;
                           }
                           return false;
                         });
    }
  }
  lag.dead = 0;
  const absl::Status listed = letters_.List({.group = group, .topic = topic}, [&](const DeadLetter&) {
    lag.dead = *lag.dead + 1;
    return true;
  });
  if (!listed.ok()) lag.dead = std::nullopt;
}

absl::StatusOr<int64_t> KafkaAdmin::Backlog(const std::string& topic, const std::string& group) {
  const absl::StatusOr<Positions> positions = PositionsOf(group);
  if (!positions.ok()) return positions.status();
  const absl::StatusOr<std::vector<Range>> bounds = reader_.Bounds(topic);
  if (!bounds.ok()) return bounds.status();
  int64_t waiting = 0;
  for (const Range& range : *bounds) {
    const auto found = positions->find({topic, range.partition});
    const Position position = found == positions->end() ? Position{range.from, ""} : found->second;
    waiting += Offsets::Look(std::max(position.offset, range.from), position.metadata, range.to).waiting;
  }
  return waiting;
}

}  // namespace messaging::kafka
