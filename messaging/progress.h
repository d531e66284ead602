// What a client's consumer is doing at the moment: for health checks and for people.
#ifndef MESSAGING_PROGRESS_H_
#define MESSAGING_PROGRESS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace messaging {

// What to pause: a handler by its name, or a topic; neither: everything.
struct Part {
  std::string handler;
  std::string topic;
};

// Whether a handler takes messages.
enum class Gate {
  kOpen,
  kPaused,   // Somebody paused it (Client::Pause).
  kTripped,  // Its breaker is open (HandlerOptions::breaker).
  kProbing,  // Its breaker tries one message.
};

// Of one handler.
struct HandlerProgress {
  std::string name;
  std::string group;
  std::vector<std::string> topics;
  std::vector<std::string> paused_topics;  // Those of its topics that are paused.
  Gate gate = Gate::kOpen;
  size_t waiting = 0;  // Messages in hand that no call has begun with. A failing message's retry is at the broker.
  size_t running = 0;  // Messages that calls have begun with.
  // How long the oldest of those calls has been running, the broker's answers to its sends included; zero where none
  // is. A quick handler's messages are dealt some at a time, and count from when they were.
  absl::Duration longest = absl::ZeroDuration();
};

// What a group lets its member read at the moment.
struct Assignment {
  static constexpr int kShared = -1;
  std::string group;
  std::string missing;       // Why nothing can come, in one line; empty: it can.
  int partitions = kShared;  // It reads so many; 0: others have all of them; kShared: members share every message.
  bool operator==(const Assignment&) const = default;
};

// Of a whole consumer.
struct Progress {
  enum class Phase {
    kNew,        // Not started.
    kConsuming,  // Joined: messages can come.
    kDraining,   // Stop was called, and what is in hand is being finished.
    kEnded,
    kFailed,  // It ended by itself: `failure` says why.
  };
  Phase phase = Phase::kNew;
  absl::Status failure;
  size_t messages = 0;  // In hand: received and not settled.
  size_t bytes = 0;
  size_t refused = 0;            // Of those: their settling was refused, and is tried again ...
  absl::Duration refusing = {};  // ... since so long; zero where none is.
  std::vector<HandlerProgress> handlers;
  std::vector<Assignment> assignments;  // A group each.
};

}  // namespace messaging

#endif  // MESSAGING_PROGRESS_H_
