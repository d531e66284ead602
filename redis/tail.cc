// RedisAdmin::Tail: streams read without a group.
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "redis/admin.h"
#include "redis/entry.h"
#include "redis/keys.h"

namespace messaging::redis {
namespace {

constexpr std::string_view kLastNumber = "-18446744073709551615";
constexpr char kPage[] = "100";
constexpr char kBlockMilliseconds[] = "150";

struct Place {
  std::string key;
  int partition = -1;
  std::string after = "0";  // What was read last.
};

using Id = std::pair<uint64_t, uint64_t>;

Id ParseId(std::string_view text) {
  const std::pair<std::string_view, std::string_view> parts = absl::StrSplit(text, absl::MaxSplits('-', 1));
  Id id;
  (void)(absl::SimpleAtoi(parts.first, &id.first) && absl::SimpleAtoi(parts.second, &id.second));
  return id;
}

std::string JustBefore(const Id& id) {
  if (id.second > 0) return absl::StrCat(id.first, "-", id.second - 1);
  return id.first == 0 ? "0" : absl::StrCat(id.first - 1, kLastNumber);
}

// Sets where each place begins so that the last `count` of all come.
absl::Status BeginAtLast(Connection& connection, const RedisOptions& options, int64_t count,
                         std::vector<Place>& places) {
  std::vector<std::pair<Id, size_t>> ids;
  for (size_t i = 0; i < places.size(); ++i) {
    std::string before = "+";
    for (int64_t left = count; left > 0;) {
      const absl::StatusOr<ReplyPtr> reply =
          Ask(connection, options,
              {"XREVRANGE", places[i].key, before, "-", "COUNT", absl::StrCat(std::min<int64_t>(left, 100))});
      if (!reply.ok()) return reply.status();
      if ((*reply)->elements == 0) break;
      for (size_t j = 0; j < (*reply)->elements; ++j) {
        before = absl::StrCat("(", View(*(*reply)->element[j]->element[0]));
        ids.emplace_back(ParseId(std::string_view(before).substr(1)), i);
      }
      left -= static_cast<int64_t>((*reply)->elements);
    }
    const absl::StatusOr<ReplyPtr> info =
        Ask(connection, options, {"XREVRANGE", places[i].key, "+", "-", "COUNT", "1"});
    if (info.ok() && (*info)->elements > 0) places[i].after = View(*(*info)->element[0]->element[0]);
  }
  std::sort(ids.rbegin(), ids.rend());
  if (ids.size() > static_cast<size_t>(count)) ids.resize(static_cast<size_t>(count));
  for (const auto& [id, place] : ids) places[place].after = JustBefore(id);  // The oldest of each comes last.
  return absl::OkStatus();
}

absl::Status SetBeginning(Connection& connection, const RedisOptions& options, const TailOptions& tail,
                          std::vector<Place>& places) {
  if (tail.last && !tail.since) return BeginAtLast(connection, options, *tail.last, places);
  if (!tail.since) return BeginAtLast(connection, options, 0, places);
  const int64_t since = std::max<int64_t>(absl::ToUnixMillis(*tail.since), 1);
  for (Place& place : places) place.after = absl::StrCat(since - 1, kLastNumber);
  return absl::OkStatus();
}

// One reading of all places: how many messages came, or -1 when the visitor wants no more.
absl::StatusOr<int> ReadOnce(Connection& connection, const RedisOptions& options, const TailOptions& tail,
                             std::vector<Place>& places, const std::function<bool(const Record&)>& visit) {
  std::vector<std::string_view> command = {"XREAD", "COUNT", kPage};
  if (tail.follow) command.insert(command.end(), {"BLOCK", kBlockMilliseconds});
  command.push_back("STREAMS");
  for (const Place& place : places) command.push_back(place.key);
  for (const Place& place : places) command.push_back(place.after);
  const absl::StatusOr<ReplyPtr> reply = Ask(connection, options, command);
  if (!reply.ok()) return reply.status();
  int count = 0;
  for (size_t i = 0; (*reply)->type == REDIS_REPLY_ARRAY && i < (*reply)->elements; ++i) {
    const redisReply& part = *(*reply)->element[i];
    const auto place = std::find_if(places.begin(), places.end(),
                                    [&](const Place& each) { return each.key == View(*part.element[0]); });
    if (place == places.end()) continue;
    const redisReply& entries = *part.element[1];
    for (size_t j = 0; j < entries.elements; ++j) {
      RedisRecord record;
      record.topic = tail.topic;
      record.partition = place->partition;
      ReadEntry(*entries.element[j], record);
      if (!visit(record)) return -1;
      ++count;
    }
    if (entries.elements > 0) place->after = View(*entries.element[entries.elements - 1]->element[0]);
  }
  return count;
}

}  // namespace

absl::Status RedisAdmin::Tail(const TailOptions& tail, std::function<bool(const Record&)> visit,
                              std::function<bool()> stop) {
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect_();
  if (!connection.ok()) return connection.status();
  const auto topics = FindTopics(**connection, options_, tail.topic);
  if (!topics.ok()) return topics.status();
  std::vector<int> partitions;
  if (const auto found = topics->find(tail.topic); found != topics->end()) {
    partitions = found->second;
  } else if (!tail.follow) {
    return absl::NotFoundError(absl::StrCat(options_.Address(), " has no topic ", tail.topic));
  } else {  // It may come.
    const int count = options_.PartitionsOf(tail.topic);
    for (int i = count == 0 ? -1 : 0; i < count; ++i) partitions.push_back(i);
  }
  std::vector<Place> places;
  for (const int partition : partitions) {
    places.push_back({.key = StreamKey(tail.topic, partition), .partition = partition});
  }
  absl::Status status = SetBeginning(**connection, options_, tail, places);
  if (!status.ok()) return status;
  while (!stop()) {
    const absl::StatusOr<int> count = ReadOnce(**connection, options_, tail, places, visit);
    if (!count.ok()) return count.status();
    if (*count < 0 || (*count == 0 && !tail.follow)) break;
  }
  return absl::OkStatus();
}

}  // namespace messaging::redis
