#include "redis/letters.h"

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "redis/entry.h"
#include "redis/keys.h"
#include "redis/scripts.h"

namespace messaging::redis {
namespace {

constexpr char kPage[] = "200";

bool Matches(const DeadLetterFilter& filter, const DeadLetter& letter) {
  auto is = [](const std::string& wanted, const std::string& found) { return wanted.empty() || wanted == found; };
  const auto& ids = filter.ids;
  return is(filter.group, letter.group) && is(filter.topic, letter.message.topic) &&
         is(filter.handler, letter.failure.handler) && letter.dead_since >= filter.since &&
         (ids.empty() || std::find(ids.begin(), ids.end(), letter.id) != ids.end() ||
          std::find(ids.begin(), ids.end(), letter.message.id) != ids.end());
}

// The stream that a dead-letter stream's key is for: "{STREAM}:..." .
std::string_view StreamOf(std::string_view key) {
  const size_t end = key.find("}:");
  return end == std::string_view::npos || end == 0 ? std::string_view() : key.substr(1, end - 1);
}

int PartitionOfStream(std::string_view stream) {
  const size_t slash = stream.rfind('/');
  return slash == std::string_view::npos ? -1 : std::atoi(std::string(stream.substr(slash + 1)).c_str());
}

}  // namespace

absl::StatusOr<ReplyPtr> Ask(Connection& connection, const RedisOptions& options,
                             const std::vector<std::string_view>& arguments) {
  absl::StatusOr<ReplyPtr> reply = connection.Call(arguments);
  if (reply.ok() && IsError(**reply)) return StatusOfError(View(**reply), options);
  return reply;
}

absl::StatusOr<std::vector<std::string>> ScanStreams(Connection& connection, const RedisOptions& options,
                                                     std::string_view pattern) {
  return ScanKeys(connection, options, pattern, {"TYPE", "stream"});
}

absl::StatusOr<std::vector<std::string>> ScanKeys(Connection& connection, const RedisOptions& options,
                                                  std::string_view pattern, const std::vector<std::string_view>& more) {
  std::vector<std::string> keys;
  std::string cursor = "0";
  do {
    std::vector<std::string_view> command = {"SCAN", cursor, "MATCH", pattern, "COUNT", "1000"};
    command.insert(command.end(), more.begin(), more.end());
    absl::StatusOr<ReplyPtr> reply = Ask(connection, options, command);
    if (!reply.ok()) return reply.status();
    cursor = View(*(*reply)->element[0]);
    const redisReply& found = *(*reply)->element[1];
    for (size_t i = 0; i < found.elements; ++i) keys.emplace_back(View(*found.element[i]));
  } while (cursor != "0");
  std::sort(keys.begin(), keys.end());  // A scan may name one twice.
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  return keys;
}

absl::Status Letters::ForEach(Connection& connection, const DeadLetterFilter& filter,
                              const std::function<absl::StatusOr<bool>(const Found&)>& visit) {
  absl::StatusOr<std::vector<std::string>> keys = ScanStreams(connection, options_, kDeadPattern);
  if (!keys.ok()) return keys.status();
  // Oldest first over all of them: the next of each, the oldest of those.
  struct Page {
    std::string key;
    std::string after = "-";
    std::vector<Found> letters;  // The next one last.
    bool ended = false;
  };
  std::vector<Page> pages;
  for (std::string& key : *keys) pages.push_back({.key = std::move(key)});
  while (true) {
    Page* oldest = nullptr;
    for (Page& page : pages) {
      while (page.letters.empty() && !page.ended) {
        absl::StatusOr<ReplyPtr> reply =
            Ask(connection, options_, {"XRANGE", page.key, page.after, "+", "COUNT", kPage});
        if (!reply.ok()) return reply.status();
        page.ended = (*reply)->elements == 0;
        for (size_t i = (*reply)->elements; i-- > 0;) {
          const redisReply& entry = *(*reply)->element[i];
          if (i + 1 == (*reply)->elements) page.after = absl::StrCat("(", View(*entry.element[0]));
          Found found{page.key, std::string(View(*entry.element[0])), ReadDeadLetter(entry)};
          // Of several streams each has ids of its own.
          found.letter.id = absl::StrCat(found.entry, "@", StreamOf(page.key));
          if (Matches(filter, found.letter)) page.letters.push_back(std::move(found));
        }
      }
      if (page.letters.empty()) continue;
      if (oldest == nullptr || page.letters.back().letter.dead_since < oldest->letters.back().letter.dead_since) {
        oldest = &page;
      }
    }
    if (oldest == nullptr) return absl::OkStatus();
    const Found found = std::move(oldest->letters.back());
    oldest->letters.pop_back();
    absl::StatusOr<bool> more = visit(found);
    if (!more.ok()) return more.status();
    if (!*more) return absl::OkStatus();
  }
}

absl::Status Letters::List(const DeadLetterFilter& filter, std::function<bool(const DeadLetter&)> visit) {
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect_();
  if (!connection.ok()) return connection.status();
  return ForEach(**connection, filter, [&](const Found& found) -> absl::StatusOr<bool> { return visit(found.letter); });
}

absl::StatusOr<int64_t> Letters::Count(const DeadLetterFilter& filter,
                                       const std::function<absl::StatusOr<bool>(Connection&, const Found&)>& take) {
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect_();
  if (!connection.ok()) return connection.status();
  int64_t count = 0;
  // Those that die again meanwhile are not looked at a second time.
  const absl::Time start = absl::Now();
  absl::Status status = ForEach(**connection, filter, [&](const Found& found) -> absl::StatusOr<bool> {
    if (found.letter.dead_since > start) return true;
    absl::StatusOr<bool> taken = take(**connection, found);
    if (!taken.ok()) return taken.status();
    count += *taken ? 1 : 0;
    return true;
  });
  if (!status.ok()) return status;
  return count;
}

absl::StatusOr<int64_t> Letters::Replay(const DeadLetterFilter& filter) {
  return Count(filter, [this](Connection& connection, const Found& found) -> absl::StatusOr<bool> {
    const GroupKeys keys(found.letter.message.topic, PartitionOfStream(StreamOf(found.key)), found.letter.group);
    const Parts parts = ReplayParts(found.letter);
    const std::string size = absl::StrCat(parts.values.size());
    std::vector<std::string_view> arguments = {"EVAL", kReplay, "2", found.key, keys.retry, found.entry, size};
    arguments.insert(arguments.end(), parts.values.begin(), parts.values.end());
    absl::StatusOr<ReplyPtr> reply = Ask(connection, options_, arguments);
    if (!reply.ok()) return reply.status();
    return (*reply)->integer == 1;
  });
}

absl::Status Letters::Import(const DeadLetter& letter) {
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect_();
  if (!connection.ok()) return connection.status();
  const bool partitioned = options_.PartitionsOf(letter.message.topic) > 0;
  const GroupKeys keys(letter.message.topic, partitioned ? 0 : -1, letter.group);
  const Parts parts = DeadParts(letter);
  std::vector<std::string_view> arguments = {"XADD", keys.dead, "*"};
  arguments.insert(arguments.end(), parts.values.begin(), parts.values.end());
  return Ask(**connection, options_, arguments).status();
}

absl::StatusOr<int64_t> Letters::Purge(const DeadLetterFilter& filter) {
  return Count(filter, [this](Connection& connection, const Found& found) -> absl::StatusOr<bool> {
    absl::StatusOr<ReplyPtr> reply = Ask(connection, options_, {"XDEL", found.key, found.entry});
    if (!reply.ok()) return reply.status();
    return (*reply)->integer == 1;
  });
}

}  // namespace messaging::redis
