#include "redis/admin.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "messaging/message.h"
#include "redis/entry.h"
#include "redis/keys.h"
#include "redis/scripts.h"

namespace messaging::redis {
namespace {

constexpr std::string_view kNoLag = "entries were deleted: the server cannot count what waits";

// A reply's pairs of names and values, as XINFO gives them.
const redisReply* Field(const redisReply& list, std::string_view name) {
  for (size_t i = 0; i + 1 < list.elements; i += 2) {
    if (View(*list.element[i]) == name) return list.element[i + 1];
  }
  return nullptr;
}

std::string_view Text(const redisReply& list, std::string_view name) {
  const redisReply* const field = Field(list, name);
  return field == nullptr ? std::string_view() : View(*field);
}

std::optional<int64_t> Number(const redisReply& list, std::string_view name) {
  const redisReply* const field = Field(list, name);
  if (field == nullptr || field->type != REDIS_REPLY_INTEGER) return std::nullopt;
  return field->integer;
}

int64_t Integer(const absl::StatusOr<ReplyPtr>& reply) {
  return reply.ok() && (*reply)->type == REDIS_REPLY_INTEGER ? (*reply)->integer : 0;
}

// For SCAN's MATCH.
std::string Literally(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    if (absl::StrContains("*?[]\\^-", c)) pattern.push_back('\\');
    pattern.push_back(c);
  }
  return pattern;
}

// "orders/3" is partition 3 of orders.
std::pair<std::string, int> SplitKey(const std::string& key) {
  const size_t slash = key.rfind('/');
  int partition = -1;
  if (slash == std::string::npos || slash == 0 || !absl::SimpleAtoi(key.substr(slash + 1), &partition) ||
      partition < 0) {
    return {key, -1};
  }
  return {key.substr(0, slash), partition};
}

struct ConsumerFigures {
  int64_t released = 0;  // Given back: waits for a member.
  int members = 0;       // That gave a sign lately.
};

ConsumerFigures ReadConsumers(Connection& connection, const RedisOptions& options, std::string_view key,
                              std::string_view group) {
  ConsumerFigures figures;
  const absl::StatusOr<ReplyPtr> reply = Ask(connection, options, {"XINFO", "CONSUMERS", key, group});
  if (!reply.ok()) return figures;
  for (size_t i = 0; i < (*reply)->elements; ++i) {
    const redisReply& consumer = *(*reply)->element[i];
    if (Text(consumer, "name") == kReleased) {
      figures.released = Number(consumer, "pending").value_or(0);
    } else if (absl::Milliseconds(Number(consumer, "idle").value_or(0)) < options.claim_idle) {
      ++figures.members;
    }
  }
  return figures;
}

// Of the entries that nobody has been given, and those that were given back.
std::optional<absl::Time> OldestWaiting(Connection& connection, const RedisOptions& options, std::string_view key,
                                        std::string_view group, std::string_view last_delivered) {
  std::optional<absl::Time> oldest;
  auto consider = [&](std::string_view id) {
    const absl::Time time = TimeOfId(id);
    if (!oldest || time < *oldest) oldest = time;
  };
  absl::StatusOr<ReplyPtr> reply =
      Ask(connection, options, {"XRANGE", key, absl::StrCat("(", last_delivered), "+", "COUNT", "1"});
  if (reply.ok() && (*reply)->elements > 0) consider(View(*(*reply)->element[0]->element[0]));
  reply = Ask(connection, options, {"XPENDING", key, group, "-", "+", "1", kReleased});
  if (reply.ok() && (*reply)->elements > 0) consider(View(*(*reply)->element[0]->element[0]));
  return oldest;
}

// Adds what waits in the group's own stream and for its time.
void AddRetries(Connection& connection, const RedisOptions& options, const GroupKeys& keys, GroupLag& lag) {
  lag.retrying = Integer(Ask(connection, options, {"ZCARD", keys.due}));
  if (*lag.retrying > 0) {
    const absl::StatusOr<ReplyPtr> first = Ask(connection, options, {"ZRANGE", keys.due, "0", "0", "WITHSCORES"});
    double when = 0;
    if (first.ok() && (*first)->elements == 2 && absl::SimpleAtod(View(*(*first)->element[1]), &when)) {
      lag.next_retry = absl::FromUnixMillis(static_cast<int64_t>(when));
    }
  }
  const absl::StatusOr<ReplyPtr> groups = Ask(connection, options, {"XINFO", "GROUPS", keys.retry});
  if (!groups.ok()) return;
  for (size_t i = 0; i < (*groups)->elements; ++i) {
    const redisReply& group = *(*groups)->element[i];
    if (Text(group, "name") != lag.group) continue;
    const int64_t released = ReadConsumers(connection, options, keys.retry, lag.group).released;
    const int64_t due = Number(group, "lag").value_or(0) + released;
    *lag.retrying += due;
    *lag.in_flight += Number(group, "pending").value_or(0) - released;
    if (due > 0) lag.next_retry = absl::Now();
  }
}

}  // namespace

absl::StatusOr<std::map<std::string, std::vector<int>>> FindTopics(Connection& connection, const RedisOptions& options,
                                                                   std::string_view topic) {
  const absl::StatusOr<std::vector<std::string>> keys =
      ScanStreams(connection, options, topic.empty() ? "*" : absl::StrCat(Literally(topic), "*"));
  if (!keys.ok()) return keys.status();
  std::map<std::string, std::vector<int>> topics;
  for (const std::string& key : *keys) {
    if (absl::StrContains(key, absl::StrCat("}:", kReservedTopicPrefix))) continue;
    const auto [name, partition] = SplitKey(key);
    if (topic.empty() || name == topic) topics[name].push_back(partition);
  }
  for (auto& [name, partitions] : topics) std::sort(partitions.begin(), partitions.end());
  return topics;
}

absl::StatusOr<std::vector<GroupLag>> LagOfTopic(Connection& connection, const RedisOptions& options,
                                                 const std::string& topic, const std::vector<int>& partitions,
                                                 std::string_view group) {
  std::vector<GroupLag> all;
  for (const int partition : partitions) {
    const std::string key = StreamKey(topic, partition);
    const absl::StatusOr<ReplyPtr> groups = Ask(connection, options, {"XINFO", "GROUPS", key});
    if (!groups.ok()) return groups.status();
    for (size_t i = 0; i < (*groups)->elements; ++i) {
      const redisReply& info = *(*groups)->element[i];
      GroupLag lag{.topic = topic, .group = std::string(Text(info, "name")), .partition = partition};
      if (!group.empty() && lag.group != group) continue;
      const GroupKeys keys(topic, partition, lag.group);
      const ConsumerFigures consumers = ReadConsumers(connection, options, key, lag.group);
      lag.waiting = Number(info, "lag");
      if (lag.waiting) *lag.waiting += consumers.released;
      if (!lag.waiting) lag.note = kNoLag;
      lag.in_flight = Number(info, "pending").value_or(0) - consumers.released;
      lag.members = consumers.members;
      AddRetries(connection, options, keys, lag);
      lag.dead = Integer(Ask(connection, options, {"XLEN", keys.dead}));
      lag.oldest = OldestWaiting(connection, options, key, lag.group, Text(info, "last-delivered-id"));
      all.push_back(std::move(lag));
    }
  }
  return all;
}

absl::StatusOr<std::vector<TopicInfo>> RedisAdmin::Topics(const std::string& topic) {
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect_();
  if (!connection.ok()) return connection.status();
  const auto topics = FindTopics(**connection, options_, topic);
  if (!topics.ok()) return topics.status();
  std::vector<TopicInfo> all;
  for (const auto& [name, partitions] : *topics) {
    TopicInfo info{.name = name, .partitions = partitions[0] < 0 ? 0 : static_cast<int>(partitions.size())};
    info.messages = info.bytes = 0;
    for (const int partition : partitions) {
      const std::string key = StreamKey(name, partition);
      *info.messages += Integer(Ask(**connection, options_, {"XLEN", key}));
      *info.bytes += Integer(Ask(**connection, options_, {"MEMORY", "USAGE", key}));
      const absl::StatusOr<ReplyPtr> groups = Ask(**connection, options_, {"XINFO", "GROUPS", key});
      if (!groups.ok()) return groups.status();
      for (size_t i = 0; i < (*groups)->elements; ++i) {
        std::string group(Text(*(*groups)->element[i], "name"));
        if (std::find(info.groups.begin(), info.groups.end(), group) == info.groups.end()) {
          info.groups.push_back(std::move(group));
        }
      }
    }
    if (*info.bytes == 0) info.bytes.reset();  // The user may not ask.
    std::sort(info.groups.begin(), info.groups.end());
    all.push_back(std::move(info));
  }
  return all;
}

absl::Status RedisAdmin::Declare(const TopicDeclaration& declaration) {
  const std::string& topic = declaration.topic;
  if (!declaration.options.settings.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("redis knows no settings of a topic, and none called ",
                                                   declaration.options.settings.begin()->first));
  }
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect_();
  if (!connection.ok()) return connection.status();
  const auto found = FindTopics(**connection, options_, topic);
  if (!found.ok()) return found.status();
  const int wanted = declaration.options.partitions > 0 ? declaration.options.partitions : options_.PartitionsOf(topic);
  if (const auto at = found->find(topic); at != found->end()) {
    const int there = at->second[0] < 0 ? 0 : static_cast<int>(at->second.size());
    if (there != wanted) {
      return absl::AlreadyExistsError(absl::StrCat("topic ", topic, " has ", there, " partitions, not ", wanted,
                                                   ": give senders and consumers the same number"));
    }
  }
  for (int partition = wanted == 0 ? -1 : 0; partition < wanted; ++partition) {
    const std::string key = StreamKey(topic, partition);
    absl::Status status = Ask(**connection, options_, {"EVAL", kDeclare, "1", key, ""}).status();
    for (const std::string& group : declaration.groups) {
      const GroupKeys keys(topic, partition, group);
      status.Update(Ask(**connection, options_, {"EVAL", kDeclare, "1", key, group}).status());
      status.Update(Ask(**connection, options_, {"EVAL", kDeclare, "1", keys.retry, group}).status());
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status RedisAdmin::Remove(const std::string& topic) {
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect_();
  if (!connection.ok()) return connection.status();
  const auto found = FindTopics(**connection, options_, topic);
  if (!found.ok()) return found.status();
  for (const auto& [name, partitions] : *found) {
    std::vector<std::string> streams = {name};  // With partitions there are keys of the whole topic, too.
    for (const int partition : partitions) {
      if (partition >= 0) streams.push_back(StreamKey(name, partition));
    }
    for (const std::string& stream : streams) {
      // What groups keep beside the stream first: it is found by its stream, should this end in the middle.
      absl::StatusOr<std::vector<std::string>> keys =
          ScanKeys(**connection, options_, absl::StrCat("{", Literally(stream), "}:", kReservedTopicPrefix, "*"));
      if (!keys.ok()) return keys.status();
      keys->push_back(stream);
      for (const std::string& key : *keys) {
        if (absl::Status status = Ask(**connection, options_, {"DEL", key}).status(); !status.ok()) return status;
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<GroupLag>> RedisAdmin::Lag(const std::string& topic, const std::string& group) {
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect_();
  if (!connection.ok()) return connection.status();
  const auto topics = FindTopics(**connection, options_, topic);
  if (!topics.ok()) return topics.status();
  std::vector<GroupLag> all;
  for (const auto& [name, partitions] : *topics) {
    absl::StatusOr<std::vector<GroupLag>> some = LagOfTopic(**connection, options_, name, partitions, group);
    if (!some.ok()) return some.status();
    all.insert(all.end(), std::make_move_iterator(some->begin()), std::make_move_iterator(some->end()));
  }
  std::stable_sort(all.begin(), all.end(), [](const GroupLag& a, const GroupLag& b) {
    return std::tie(a.topic, a.group, a.partition) < std::tie(b.topic, b.group, b.partition);
  });
  return all;
}

}  // namespace messaging::redis
