// Where things lie on the server. All keys of a stream share its hash slot.
#ifndef REDIS_KEYS_H_
#define REDIS_KEYS_H_

#include <string>
#include <string_view>

namespace messaging::redis {

// A topic's stream has the topic's name; with partitions there are as many streams, "TOPIC/0" and so on ('/' is in no
// topic's name). `partition` -1: the topic has none.
std::string StreamKey(std::string_view topic, int partition = -1);

// What a group keeps beside a stream: "{STREAM}:PLACE", where PLACE is messaging/broker/names.h's name.
struct GroupKeys {
  GroupKeys(std::string_view topic, int partition, std::string_view group);

  std::string stream;
  std::string retry;  // A stream of the group's own: what is to be handled again, once it is due.
  std::string due;    // Sorted set: what waits for its delay, by the millisecond when that has passed.
  std::string held;   // Hash: the messages of `due`.
  std::string begun;  // Hash: attempts noted before their calls (Settlement::kBegin), by the entry's id.
  std::string dead;   // Stream: dead letters.
  std::string owner;  // Text: the member that owns the partition, with a lease.
};

// Of a group's members that share a topic's partitions, by the millisecond until which they have spoken for themselves.
struct MemberKeys {
  MemberKeys(std::string_view topic, std::string_view group);

  std::string alive;   // What they hold is theirs.
  std::string active;  // They want partitions.
};

// Matches every GroupKeys::dead, as SCAN's MATCH.
inline constexpr char kDeadPattern[] = "{*}:__messaging.dead*";

// The consumer that owns, within a group, what its members gave back.
inline constexpr char kReleased[] = "__messaging.released";

}  // namespace messaging::redis

#endif  // REDIS_KEYS_H_
