#include "rabbitmq/topology.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "messaging/broker/names.h"
#include "messaging/message.h"
#include "rabbitmq/connection.h"

namespace messaging::rabbitmq {
namespace {

constexpr int64_t kNoLimit = -1;
constexpr int kLimitsByDefault = 4;         // The major version since which quorum queues limit deliveries.
constexpr int64_t kNotesBytes = 64 << 20;   // Of notes, in segments ...
constexpr int64_t kNotesSegment = 4 << 20;  // ... of so many bytes.
constexpr char kNotesAge[] = "7D";
constexpr int64_t kMembersExpire = 60'000;  // Milliseconds after the last of them.

QueueSpec Quorum(std::string name, Version version) {
  QueueSpec spec{.name = std::move(name), .arguments = {{"x-queue-type", std::string("quorum")}}};
  if (version.first >= kLimitsByDefault) spec.arguments.emplace_back("x-delivery-limit", kNoLimit);
  return spec;
}

std::string WithPartition(std::string name, int partition) {
  return partition < 0 ? name : absl::StrCat(name, "/", partition);
}

}  // namespace

Arguments::Arguments(const QueueSpec& spec) {
  for (const auto& [name, value] : spec.arguments) {
    amqp_table_entry_t entry = {.key = Bytes(name)};
    if (const auto* number = std::get_if<int64_t>(&value)) {
      entry.value = {.kind = AMQP_FIELD_KIND_I64, .value = {.i64 = *number}};
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      entry.value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = Bytes(*text)}};
    } else {
      entry.value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value = {.boolean = std::get<bool>(value) ? 1 : 0}};
    }
    entries_.push_back(entry);
  }
}

std::string RoutingKey(const RabbitmqOptions& options, const std::string& topic, int partition) {
  const std::string own = options.SettingOf(topic, "routing_key");
  return WithPartition(own.empty() ? topic : own, partition);
}

std::string ExchangeOf(const RabbitmqOptions& options, const std::string& topic) {
  const std::string own = options.SettingOf(topic, "exchange");
  return own.empty() ? options.exchange : own;
}

std::string QueueName(const RabbitmqOptions& options, std::string_view topic, std::string_view group, int partition) {
  std::string foreign = options.SettingOf(std::string(topic), "queue");
  return foreign.empty() ? WithPartition(absl::StrCat(group, "/", topic), partition) : foreign;
}

bool ParseQueueName(std::string_view name, std::string& topic, std::string& group, int& partition) {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  if (parts.size() < 2 || parts.size() > 3 || !IsValidTopic(parts[0]) || !IsValidTopic(parts[1])) return false;
  group = parts[0];
  topic = parts[1];
  partition = -1;
  return parts.size() == 2 || (absl::SimpleAtoi(parts[2], &partition) && partition >= 0);
}

QueueSpec GroupQueue(const RabbitmqOptions& options, std::string_view topic, std::string_view group, int partition,
                     Version version) {
  const std::string name = QueueName(options, topic, group, partition);
  QueueSpec spec = Quorum(name, version);
  if (options.classic_queues) spec = {.name = name, .arguments = {{"x-queue-type", std::string("classic")}}};
  if (partition >= 0) spec.arguments.emplace_back("x-single-active-consumer", true);
  return spec;
}

// Dead-lettering is at least once only between quorum queues, and only when a full queue refuses; a queue that expires
// would take with it what is in it, so these stay.
QueueSpec DelayQueue(std::string_view topic, std::string_view group, int partition, absl::Duration delay,
                     const std::string& back_to, Version version) {
  QueueSpec spec = Quorum(WithPartition(RetryPlace(topic, group, delay), partition), version);
  const int64_t milliseconds = absl::ToInt64Milliseconds(absl::Ceil(delay, absl::Milliseconds(1)));
  spec.arguments.emplace_back("x-message-ttl", milliseconds);
  spec.arguments.emplace_back("x-dead-letter-exchange", std::string());
  spec.arguments.emplace_back("x-dead-letter-routing-key", back_to);
  spec.arguments.emplace_back("x-dead-letter-strategy", std::string("at-least-once"));
  spec.arguments.emplace_back("x-overflow", std::string("reject-publish"));
  return spec;
}

QueueSpec DeadQueue(std::string_view topic, std::string_view group, Version version) {
  return Quorum(DeadLetterPlace(topic, group), version);
}

QueueSpec NotesStream(std::string_view topic, std::string_view group) {
  return {.name = absl::StrCat(RetryPlace(topic, group, absl::ZeroDuration()), ":notes"),
          .arguments = {{"x-queue-type", std::string("stream")},
                        {"x-max-age", std::string(kNotesAge)},
                        {"x-max-length-bytes", kNotesBytes},
                        {"x-stream-max-segment-size-bytes", kNotesSegment}}};
}

// Classic: it may be lost, and is made again.
QueueSpec MembersQueue(std::string_view topic, std::string_view group) {
  return {.name = absl::StrCat(RetryPlace(topic, group, absl::ZeroDuration()), ":group"),
          .arguments = {{"x-queue-type", std::string("classic")}, {"x-expires", kMembersExpire}}};
}

uint64_t StableHash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
  return hash;
}

int PartitionOf(std::string_view key, int partitions) {
  return static_cast<int>(StableHash(key) % static_cast<uint64_t>(partitions));
}

}  // namespace messaging::rabbitmq
