// What the engine and the drivers tell about their work; metrics, tests and traces are built on it.
#ifndef MESSAGING_OBSERVER_H_
#define MESSAGING_OBSERVER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "messaging/progress.h"

namespace messaging {

// Called from any thread, often: implementations must be thread-safe, must not block and must not call back. Names are
// valid during the call. Every method does nothing by default, so that new ones break nobody.
class Observer {
 public:
  virtual ~Observer() = default;

  // Sending. `status`: OK accepted; DeadlineExceeded unknown; else refused. `latency`: from Send to resolved.
  virtual void OnSent(std::string_view topic, size_t bytes) {}
  virtual void OnSendResolved(std::string_view topic, const absl::Status& status, absl::Duration latency) {}
  // A send that was not accepted, whose Confirmation was dropped without a look at it.
  virtual void OnSendFailureUnseen(std::string_view topic, const absl::Status& status) {}

  // Receiving. What came together is told together, and so are attempts that ended alike.
  virtual void OnReceived(std::string_view topic, size_t messages, size_t bytes) {}
  struct Handled {
    absl::Status status;  // After their sends and their commits.
    // In the handler, each; a batch's for each message. Calls of some microseconds are timed up to 128 together, and
    // each has an equal share; where those took longer than expected, the last has what is over.
    absl::Duration handler_time;
    absl::Time began;                         // The first of them.
    absl::Span<const absl::Time> timestamps;  // Of the messages: one for each attempt; InfinitePast: not known.
  };
  virtual void OnHandled(std::string_view handler, std::string_view topic, const Handled& attempts) {}
  virtual void OnRetry(std::string_view handler, std::string_view topic, int attempts, absl::Duration delay) {}
  virtual void OnDeadLetter(std::string_view handler, std::string_view topic, const absl::Status& why) {}
  virtual void OnReleased(std::string_view topic, size_t messages) {}
  virtual void OnLateSettlement(std::string_view topic) {}  // Settled after its partition was revoked: did nothing.

  // A handler stops or goes on taking messages.
  virtual void OnGate(std::string_view handler, Gate gate) {}

  // Gauges, told when they change by a batch.
  virtual void OnInFlight(size_t messages, size_t bytes) {}
  virtual void OnLaneDepth(std::string_view handler, int lane, size_t waiting) {}

  // A driver's connection: `what` is one line for a person.
  enum class Connection { kConnected, kLost, kReconnecting, kClosed };
  virtual void OnConnection(std::string_view broker, Connection state, std::string_view what) {}
};

}  // namespace messaging

#endif  // MESSAGING_OBSERVER_H_
