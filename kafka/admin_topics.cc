// Making and deleting topics, with what their groups need.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kafka/admin.h"
#include "kafka/places.h"

namespace messaging::kafka {
namespace {

constexpr absl::Duration kAsk = absl::Seconds(10);
constexpr absl::Duration kAskAgain = absl::Milliseconds(50);

using Request = rd_kafka_AdminOptions_t*;
using Answers = rd_kafka_queue_t*;

}  // namespace

absl::Status KafkaAdmin::Declare(const TopicDeclaration& declaration) {
  const absl::StatusOr<rd_kafka_t*> handle = reader_.handle();
  if (!handle.ok()) return handle.status();
  const std::string& topic = declaration.topic;
  NewTopic wanted = DescribeTopic(*options_, topic);
  if (declaration.options.partitions > 0) wanted.partitions = declaration.options.partitions;
  if (declaration.options.replicas > 0) wanted.replicas = declaration.options.replicas;
  for (const auto& [name, value] : declaration.options.settings) wanted.settings[name] = value;
  const absl::StatusOr<std::vector<Range>> there = reader_.Bounds(topic);
  if (there.ok()) {
    if (wanted.partitions > 0 && wanted.partitions != static_cast<int>(there->size())) {
      return absl::AlreadyExistsError(absl::StrCat("topic ", topic, " has ", there->size(), " partitions, not ",
                                                   wanted.partitions, ": kafka-topics --alter adds some"));
    }
    const absl::StatusOr<Settings> settings = wanted.settings.empty() ? Settings{} : SettingsOf(true, topic);
    if (!settings.ok()) return settings.status();
    for (const auto& [name, value] : wanted.settings) {
      const auto found = settings->find(name);
      if (found != settings->end() && found->second == value) continue;
      return absl::AlreadyExistsError(absl::StrCat("topic ", topic, " has ", name, "=",
                                                   found == settings->end() ? "(nothing)" : found->second, ", not ",
                                                   value, ": kafka-configs --alter changes it"));
    }
  } else if (!absl::IsNotFound(there.status())) {
    return there.status();
  } else if (absl::Status made = CreateTopics(*handle, *options_, {wanted}, kAsk); !made.ok()) {
    return made;
  } else if (!AwaitTopics(*handle, *options_, {wanted}, kAsk)) {
    return absl::UnavailableError(
        absl::StrCat(options_->Address(), ": topic ", topic, " was made and does not appear"));
  }
  for (const std::string& group : declaration.groups) {
    if (absl::Status status = DeclareGroup(topic, group); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// It begins with what is sent from now on, wherever it has not begun yet.
absl::Status KafkaAdmin::DeclareGroup(const std::string& topic, const std::string& group) {
  const absl::StatusOr<rd_kafka_t*> handle = reader_.handle();
  if (!handle.ok()) return handle.status();
  std::vector<NewTopic> places;
  for (const std::string& place : PlacesOf({.topic = topic}, group)) places.push_back(PlaceTopic(*options_, place));
  if (absl::Status made = CreateTopics(*handle, *options_, places, kAsk); !made.ok()) return made;
  const absl::StatusOr<Positions> positions = PositionsOf(group);
  const absl::StatusOr<std::vector<Range>> bounds = reader_.Bounds(topic);
  if (!bounds.ok()) return bounds.status();
  const PartitionList ends(rd_kafka_topic_partition_list_new(static_cast<int>(bounds->size())));
  for (const Range& range : *bounds) {
    if (positions.ok() && positions->contains({topic, range.partition})) continue;
    rd_kafka_topic_partition_list_add(ends.get(), topic.c_str(), range.partition)->offset = range.to;
  }
  if (ends->cnt == 0) return absl::OkStatus();
  const absl::Time limit = absl::Now() + kAsk;
  while (true) {
    absl::Status status = SetPositions(group, *ends);
    // The group's coordinator hears of a new topic when its leaders have it, or later.
    if (!absl::IsNotFound(status) || absl::Now() > limit) return status;
    absl::SleepFor(kAskAgain);
  }
}

absl::Status KafkaAdmin::SetPositions(const std::string& group, const rd_kafka_topic_partition_list_t& positions) {
  const absl::StatusOr<rd_kafka_t*> handle = reader_.handle();
  if (!handle.ok()) return handle.status();
  rd_kafka_AlterConsumerGroupOffsets_t* change = rd_kafka_AlterConsumerGroupOffsets_new(group.c_str(), &positions);
  const absl::StatusOr<Event> event = AskAdmin(
      *handle, *options_, RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS, kAsk, [&](Request request, Answers answers) {
        rd_kafka_AlterConsumerGroupOffsets(*handle, &change, 1, request, answers);
      });
  rd_kafka_AlterConsumerGroupOffsets_destroy(change);
  if (!event.ok()) return event.status();
  size_t count = 0;
  const rd_kafka_group_result_t** const results = rd_kafka_AlterConsumerGroupOffsets_result_groups(
      rd_kafka_event_AlterConsumerGroupOffsets_result(event->get()), &count);
  const std::string what = absl::StrCat("group ", group);
  for (size_t i = 0; i < count; ++i) {
    if (const rd_kafka_error_t* error = rd_kafka_group_result_error(results[i])) {
      return StatusOf(rd_kafka_error_code(error), *options_, what, rd_kafka_error_string(error));
    }
    const rd_kafka_topic_partition_list_t* const set = rd_kafka_group_result_partitions(results[i]);
    for (int j = 0; set != nullptr && j < set->cnt; ++j) {
      if (absl::Status status = StatusOf(set->elems[j].err, *options_, what); !status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> KafkaAdmin::AllOf(const std::string& topic) {
  absl::StatusOr<std::vector<std::string>> names = reader_.TopicNames();
  if (!names.ok()) return names;
  std::erase_if(*names, [&](const std::string& name) { return name != topic && !IsPlaceOf(name, topic); });
  return names;
}

absl::Status KafkaAdmin::Remove(const std::string& topic) {
  absl::StatusOr<std::vector<std::string>> found = AllOf(topic);
  if (!found.ok()) return found.status();
  if (found->empty()) return absl::OkStatus();
  if (absl::Status deleted = DeleteTopics(*found); !deleted.ok()) return deleted;
  // Brokers hear of it later, and the groups' coordinators drop their positions then.
  const std::set<std::string> gone(found->begin(), found->end());
  const absl::Time limit = absl::Now() + kAsk;
  while (!found->empty()) {
    if (absl::Now() > limit) {
      return absl::UnavailableError(
          absl::StrCat(options_->Address(), ": topic ", topic, " was deleted and still shows"));
    }
    absl::SleepFor(kAskAgain);
    found = AllOf(topic);
    if (!found.ok()) return found.status();
  }
  const absl::StatusOr<std::vector<std::string>> groups = Groups();
  if (!groups.ok()) return absl::IsPermissionDenied(groups.status()) ? absl::OkStatus() : groups.status();
  const auto is_of_it = [&](const auto& position) { return gone.contains(position.first.first); };
  for (const std::string& group : *groups) {
    while (true) {
      const absl::StatusOr<Positions> positions = PositionsOf(group);
      if (!positions.ok() || std::none_of(positions->begin(), positions->end(), is_of_it)) break;
      if (absl::Now() > limit) {
        return absl::UnavailableError(absl::StrCat(options_->Address(), ": topic ", topic, " was deleted, but group ",
                                                   group, " still has positions of it"));
      }
      absl::SleepFor(kAskAgain);
    }
  }
  return absl::OkStatus();
}

absl::Status KafkaAdmin::DeleteTopics(const std::vector<std::string>& topics) {
  const absl::StatusOr<rd_kafka_t*> handle = reader_.handle();
  if (!handle.ok()) return handle.status();
  std::vector<rd_kafka_DeleteTopic_t*> all;
  for (const std::string& topic : topics) all.push_back(rd_kafka_DeleteTopic_new(topic.c_str()));
  const absl::StatusOr<Event> event =
      AskAdmin(*handle, *options_, RD_KAFKA_ADMIN_OP_DELETETOPICS, kAsk, [&](Request request, Answers answers) {
        rd_kafka_DeleteTopics(*handle, all.data(), all.size(), request, answers);
      });
  rd_kafka_DeleteTopic_destroy_array(all.data(), all.size());
  if (!event.ok()) return event.status();
  size_t count = 0;
  const rd_kafka_topic_result_t** const results =
      rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event->get()), &count);
  absl::Status status;
  for (size_t i = 0; i < count; ++i) {
    const absl::Status deleted = StatusOf(rd_kafka_topic_result_error(results[i]), *options_,
                                          absl::StrCat("deleting topic ", rd_kafka_topic_result_name(results[i])),
                                          rd_kafka_topic_result_error_string(results[i]));
    if (!absl::IsNotFound(deleted)) status.Update(deleted);  // Else somebody was faster.
  }
  return status;
}

}  // namespace messaging::kafka
