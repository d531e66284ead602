// What a broker implements. A new broker is a package that depends on messaging/broker, implements this header,
// registers itself (registry.h), and passes the conformance suite (tests/conformance); nothing else has to change.
#ifndef MESSAGING_BROKER_BROKER_H_
#define MESSAGING_BROKER_BROKER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/broker/admin.h"
#include "messaging/broker/capabilities.h"
#include "messaging/broker/dead_letters.h"
#include "messaging/broker/delivery.h"
#include "messaging/observer.h"
#include "messaging/outgoing.h"
#include "messaging/progress.h"
#include "messaging/start_at.h"

namespace messaging {

// What a subscription may still take in. Zero in either: read nothing, keep heartbeats and membership going.
struct Room {
  size_t messages = 0;
  size_t bytes = 0;
  // Topics whose messages and retries are not to be read now, as nobody would handle them; null: none. What comes of
  // them all the same is kept, and counts.
  std::shared_ptr<const std::vector<std::string>> closed = nullptr;
  bool Reads(std::string_view topic) const {
    return closed == nullptr || std::find(closed->begin(), closed->end(), topic) == closed->end();
  }
};

// The engine's side of a subscription. All methods are thread-safe, never block on handlers and may call back into the
// subscription; a driver must not hold a lock that its Settle, Wake or Drop take while calling.
class DeliverySink {
 public:
  virtual ~DeliverySink() = default;
  // Messages, oldest first within a key (and partition). The engine takes them all; a driver reads room() before it
  // fetches and hands over at most so many.
  virtual void Deliver(std::vector<Delivery> batch) = 0;
  // Answers to Settle: every settlement comes back once, with its status. Where it is OK or Cancelled, and not kBegin,
  // the delivery was taken out (Delivery::Take); else it is still inside: after a kBegin always, as other handlers may
  // be reading it.
  virtual void Settled(std::vector<Settlement> batch) = 0;
  virtual Room room() const = 0;
  // These records will soon not be this member's any more (Kafka: another member is to have their partition). What has
  // not begun is released; what runs may finish and be settled as ever, until Revoke.
  virtual void Withdraw(std::function<bool(const Record&)> /*which*/) {}
  // These records are no longer this member's (Kafka: partition revoked). What has not begun is dropped without a
  // verdict; what runs finishes, its settling does nothing and is counted.
  virtual void Revoke(std::function<bool(const Record&)> which) = 0;
  // What this member may read has changed: also a lost connection, and one that came back. A driver that never says so
  // reads everything from its start on.
  virtual void Assigned(Assignment /*now*/) {}
  // The subscription cannot go on (permission denied, topic gone for good); a lost connection is no such thing.
  virtual void Fail(absl::Status why) = 0;
};

// How a topic is consumed; made from the handlers.
struct TopicPlan {
  std::string topic;
  std::vector<std::string> handlers;        // Names, with former ones.
  std::vector<absl::Duration> retry_rungs;  // The delays that retries will ask for, ascending; at most 16 a group.
  bool ordered = true;                      // Some handler wants order per key.
  bool strict = false;                      // Some handler wants it across retries.
};

// What one member of one group asks for.
struct SubscribeOptions {
  std::string group;
  std::vector<TopicPlan> topics;
  StartAt start_at = StartAt::kBeginning;
  std::string member;  // A name for this member in the broker's lists: host, process id and a random part.
};

// One member of one group, consuming some topics, from Broker::Subscribe until its destruction. The engine destroys it
// after every delivery was settled or dropped, or after Close returned.
class Subscription : public RecordOwner {
 public:
  // Starts delivering; returns at once when joined, or why that failed for good.
  virtual absl::Status Start() = 0;
  // Verdicts, any thread, never blocks. Answered through DeliverySink::Settled.
  virtual void Settle(std::vector<Settlement> batch) = 0;
  // There is room again after there was none, or other topics are closed than before. Any thread, never blocks.
  virtual void Wake() = 0;
  // Takes no more; deliveries that come after this returned are a bug. What was fetched and not delivered is given
  // back.
  virtual void StopFetching() = 0;
  // Flushes what was settled (acknowledgements reach the server), leaves the group, ends threads. At most until
  // `deadline`; DeadlineExceeded: the server may redeliver what was acknowledged last.
  virtual absl::Status Close(absl::Time deadline) = 0;
  // How many messages of the group wait, for the line at start. Unimplemented where it cannot be told.
  virtual absl::StatusOr<int64_t> Backlog() { return absl::UnimplementedError("backlog"); }
};

// A connection to a broker. Thread-safe. Connects when first needed and again when lost, by itself.
class Broker {
 public:
  virtual ~Broker() = default;  // Completes what is left of its Outgoing messages as unknown.
  virtual std::string_view name() const = 0;
  virtual const Capabilities& capabilities() const = 0;
  // Sends: never blocks, completes each message once, at its deadline as unknown (DeadlineExceeded) at the latest.
  // Messages of one key reach a topic in the order of the calls.
  virtual void Publish(OutgoingPtr message) = 0;
  virtual absl::StatusOr<std::shared_ptr<Subscription>> Subscribe(SubscribeOptions options, DeliverySink* sink) = 0;
  virtual DeadLetters& dead_letters() = 0;
  // What there is to see for a person; by default each question is Unimplemented.
  virtual Admin& admin();
  // One round trip: reachable, or why not (address named).
  virtual absl::Status Ping(absl::Duration limit) = 0;
  // What `core` prints of durability settings weaker than "an accepted message survives power loss"; empty: none.
  virtual std::vector<std::string> Warnings() { return {}; }
};

}  // namespace messaging

#endif  // MESSAGING_BROKER_BROKER_H_
