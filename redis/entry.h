// A message as a stream's entry: field names and values. docs/redis.md tells other programs the same.
//
//   payload   the bytes; "null" instead of it where there is none
//   id, key, type (content type), time (microseconds since 1970)
//   h:NAME    a header; names may repeat, in their order
// and in retries and dead letters
//   r:handler r:attempts r:first r:last (microseconds) r:code r:error r:suspect r:topic r:group r:since
#ifndef REDIS_ENTRY_H_
#define REDIS_ENTRY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "messaging/broker/dead_letters.h"
#include "messaging/broker/delivery.h"
#include "messaging/message.h"
#include "messaging/record.h"

struct redisReply;

namespace messaging::redis {

struct Batch;

// A message in this member's hand; its views point into the server's reply, which its batch owns.
struct RedisRecord : Record {
  int stream = 0;  // The member's number of the stream, and whether it is the group's retry stream.
  bool is_retry = false;
  bool noted = false;      // There is a note of kBegin, to be removed with it.
  std::string_view entry;  // "MILLISECONDS-NUMBER"
  Batch* batch = nullptr;
  std::vector<HeaderView> header_views;
  std::string own;                  // What the views point at that is not in the reply: a foreign entry's payload.
  RedisRecord* previous = nullptr;  // Of those in hand.
  RedisRecord* next = nullptr;
};

struct Parts {
  std::vector<std::string> values;  // Names and values in turn.
  void Add(std::string_view name, std::string_view value) {
    values.emplace_back(name);
    values.emplace_back(value);
  }
};

// Calls `add(name, value)` for each field of a message that is sent.
template <typename Add>
void ForEachField(const Message& message, std::string_view time, Add add) {
  if (message.null_payload) {
    add("null", std::string_view());
  } else {
    add("payload", std::string_view(message.payload));
  }
  if (!message.id.empty()) add("id", std::string_view(message.id));
  add("time", time);
  if (message.key) add("key", std::string_view(*message.key));
  if (!message.content_type.empty()) add("type", std::string_view(message.content_type));
  std::string name;
  for (const Header& header : message.headers) {
    name.assign("h:").append(header.first);
    add(std::string_view(name), std::string_view(header.second));
  }
}

// A copy is built by one call in Lua, which takes some 8,000 values. What others write may have more headers than that:
// of those the first ones are kept.
inline constexpr size_t kMaxHeaders = 3'000;

// The whole of a record, for a copy of it; handler and failure as the copy says. `group` and `since` for dead letters.
Parts CopyParts(const Record& record, const Copy& copy, std::string_view group, absl::Time since);
// A dead letter as an entry of a dead-letter stream, and of a retry stream (attempts at zero).
Parts DeadParts(const DeadLetter& letter);
Parts ReplayParts(const DeadLetter& letter);

// Reads an entry [id, [name, value, ...]] into `record`, whose topic is set. False: it holds no message (wakes a
// member).
bool ReadEntry(const redisReply& entry, RedisRecord& record);
// The same for a dead letter's entry.
DeadLetter ReadDeadLetter(const redisReply& entry);

// When the server took the entry.
absl::Time TimeOfId(std::string_view id);
// "MS-N" as one number that rises with it (MS in the upper 42 bits); -1: no such id.
int64_t PositionOf(std::string_view id);

}  // namespace messaging::redis

#endif  // REDIS_ENTRY_H_
