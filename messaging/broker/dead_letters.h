// Dead letters: messages that could not be handled, kept with why.
#ifndef MESSAGING_BROKER_DEAD_LETTERS_H_
#define MESSAGING_BROKER_DEAD_LETTERS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/broker/delivery.h"
#include "messaging/message.h"

namespace messaging {

// A message that was given up, with why.
struct DeadLetter {
  std::string id;  // The dead letter's own, unique in its group; the message's is message.id.
  std::string group;
  Message message;  // Topic, key, headers, bytes as they were sent.
  Failure failure;
  absl::Time dead_since;
};

// Those for which all that is given holds.
struct DeadLetterFilter {
  std::string group;                        // Empty: all.
  std::string topic;                        // Empty: all. The original topic.
  std::string handler;                      // Empty: all.
  std::vector<std::string> ids;             // DeadLetter::id or message.id; empty: all.
  absl::Time since = absl::InfinitePast();  // Dead at that time or later.
};

// Blocking, thread-safe. Touches no group's position.
class DeadLetters {
 public:
  virtual ~DeadLetters() = default;
  // Oldest first. `visit` returns false to stop.
  virtual absl::Status List(const DeadLetterFilter& filter, std::function<bool(const DeadLetter&)> visit) = 0;
  // Sends each back to the failing handler of its group only, with its attempts at zero; removed when that is accepted.
  // The number replayed.
  virtual absl::StatusOr<int64_t> Replay(const DeadLetterFilter& filter) = 0;
  // Puts one in as it is described, its group and all; its own id is made anew. For one that was exported before.
  virtual absl::Status Import(const DeadLetter& letter);
  // Deletes them for good. The number deleted.
  virtual absl::StatusOr<int64_t> Purge(const DeadLetterFilter& filter) = 0;
};

}  // namespace messaging

#endif  // MESSAGING_BROKER_DEAD_LETTERS_H_
