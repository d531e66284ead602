// What the person on call asks of a broker: what is there, what waits, what is wrong. `core lag`, `core topics`,
// `core check` and `core tail` are built on it.
#ifndef MESSAGING_BROKER_ADMIN_H_
#define MESSAGING_BROKER_ADMIN_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/record.h"
#include "messaging/topic_options.h"

namespace messaging {

struct TopicPlan;  // broker.h

// An empty optional, everywhere below: the broker cannot tell.
struct TopicInfo {
  std::string name;
  int partitions = 0;               // 0: it has none.
  std::optional<int64_t> messages;  // Kept by the server now, handled or not.
  std::optional<int64_t> bytes;
  std::vector<std::string> groups;              // That consume it, or did.
  std::map<std::string, std::string> settings;  // By the broker's own names.
};

// What a group has to do in one partition of one topic.
struct GroupLag {
  std::string topic;
  std::string group;
  int partition = -1;                // -1: the topic has none.
  std::optional<int64_t> waiting;    // Not handed out yet; retries are not among them.
  std::optional<int64_t> in_flight;  // Handed out and not settled.
  std::optional<int64_t> retrying;   // Copies that wait for their delay to pass.
  std::optional<int64_t> dead;
  std::optional<absl::Time> next_retry;  // When the first retry is due.
  std::optional<absl::Time> oldest;      // When the oldest that waits was sent.
  std::optional<int> members;            // Consumers of the group now.
  std::string note;                      // Where the figures are from, or why some are missing: one line, or empty.
};

// One thing that was looked at.
struct Finding {
  enum class Level { kOk, kWarning, kError };
  Level level = Level::kOk;
  std::string subject;   // "server", "topic orders.created", "queue ..."
  std::string message;   // What is so: "appendfsync is everysec".
  std::string cure;      // What to do; empty when all is well.
  std::string expected;  // Where what is there differs from what is needed: both, as text.
  std::string found;
};

// What DeclareTopics is to make, where it is missing.
struct TopicDeclaration {
  std::string topic;
  std::vector<std::string> groups;  // Made too, with all that they need, so that they get what is sent from now on.
  TopicOptions options;
};

// Which messages Tail shows.
struct TailOptions {
  std::string topic;
  // Which messages come first: the last so many that the server still has, or those sent since then; neither: only
  // what is sent from now on. A broker that keeps no messages for this (Capabilities::keeps_messages) starts now.
  std::optional<int64_t> last;
  std::optional<absl::Time> since;
  bool follow = true;  // False: ends when it has shown what is there.
};

// Blocking, thread-safe. Nothing here joins a group, moves a position or counts as a delivery. Unavailable: no answer
// from the server; PermissionDenied: names the right that lacks; Unimplemented: this broker cannot.
class Admin {
 public:
  virtual ~Admin() = default;
  // Sorted by name; the library's own places are left out. `topic` empty: all.
  virtual absl::StatusOr<std::vector<TopicInfo>> Topics(const std::string& topic);
  // Names, sorted. Here: those that Topics tells.
  virtual absl::StatusOr<std::vector<std::string>> Groups();
  // Makes a topic and its groups, or confirms that they are there as declared: AlreadyExists, with the difference,
  // when they are there otherwise.
  virtual absl::Status Declare(const TopicDeclaration& declaration);
  // Deletes a topic with all that is in it, and what its groups have of it: positions, retries, dead letters. OK also
  // when there is none. A consumer that still runs may make it again.
  virtual absl::Status Remove(const std::string& topic);
  // By topic, group and partition. `group` and `topic` empty: all.
  virtual absl::StatusOr<std::vector<GroupLag>> Lag(const std::string& topic, const std::string& group);
  // Looks at server, rights, topology and durability, and at what handlers that consume `topics` as `group` need (both
  // may be empty). What is wrong is a Finding; a status only when it could not look.
  virtual absl::StatusOr<std::vector<Finding>> Check(const std::string& group, const std::vector<TopicPlan>& topics);
  // Shows messages until `visit` returns false, or `stop` does true (asked at least each 200 ms).
  virtual absl::Status Tail(const TailOptions& options, std::function<bool(const Record&)> visit,
                            std::function<bool()> stop);
};

}  // namespace messaging

#endif  // MESSAGING_BROKER_ADMIN_H_
