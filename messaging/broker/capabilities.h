// What a broker can and cannot do: read by the engine, by `core`, and by the conformance suite, which skips by it.
#ifndef MESSAGING_BROKER_CAPABILITIES_H_
#define MESSAGING_BROKER_CAPABILITIES_H_

#include <cstddef>

namespace messaging {

// Read before the engine plans; the conformance suite skips by it.
struct Capabilities {
  enum class OrderScope { kProcess, kGroup };
  OrderScope order = OrderScope::kGroup;  // Over whom messages of one key are handled in order.
  bool shares_messages = true;            // Members share messages; else partitions, and a busy member's wait for it.
  bool new_group_sees_old = true;         // A group created now can also get what was sent before.
  bool several_processes = true;          // Processes share it (not: an in-process broker).
  bool durable = true;                 // Accepted messages survive the end of every process and the server's restart.
  bool null_payload = true;            // An absent payload differs from an empty one.
  bool null_key = true;                // No key differs from an empty key.
  bool admin = true;                   // Broker::admin() answers, and DeadLetters::Import takes.
  bool keeps_messages = true;          // What was sent before can be looked at later (core tail --last).
  bool simulated_time = false;         // Time is moved by the test.
  bool accepts_unknown_topics = true;  // A send to a topic that nobody declared is accepted.
  size_t max_message_bytes = 1 << 30;  // Larger is refused with InvalidArgument.
};

}  // namespace messaging

#endif  // MESSAGING_BROKER_CAPABILITIES_H_
