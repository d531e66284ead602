// What became of a send: the handle that Producer::Send returns.
#ifndef MESSAGING_CONFIRMATION_H_
#define MESSAGING_CONFIRMATION_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/outgoing.h"

namespace messaging {

// Resolves exactly once, to one of three outcomes:
//   accepted: the broker has stored the message as its durability settings say; a Receipt.
//   refused:  it was not stored, and why. ResourceExhausted: the send buffer or the server is full, try later.
//             InvalidArgument: this message never will be taken. PermissionDenied, NotFound, ...: as the text says.
//   unknown:  the deadline passed, or the program ended, while the outcome was open: it may or may not be stored. Its
//             status is DeadlineExceeded (IsUnknownOutcome tells it); no refusal has that code.
// Copyable handle, thread-safe, outlives its Client. A refused or unknown Confirmation that nobody looked at (by Wait
// or Then) is logged and counted.
class Confirmation {
 public:
  Confirmation() = default;  // Empty: Wait returns FailedPrecondition.
  explicit Confirmation(OutgoingPtr outgoing) : outgoing_(std::move(outgoing)) {}

  // Blocks until it is resolved, at the latest at the send's own deadline. FailedPrecondition inside a Then callback.
  absl::StatusOr<Receipt> Wait() const;
  // The same with a limit of its own. DeadlineExceeded when that limit passes first; the send goes on.
  absl::StatusOr<Receipt> Wait(absl::Duration limit) const;
  // Calls back once, on the producer's callback thread (never on a broker's I/O thread, never inside Then itself), also
  // when it is resolved already. Callbacks must not block for long: they share that thread, and those that have not run
  // count in the send buffer.
  void Then(std::function<void(const absl::StatusOr<Receipt>&)> callback) const;
  bool resolved() const;
  // The id under which the message was sent.
  const std::string& id() const;

 private:
  OutgoingPtr outgoing_;
};

// True for the third outcome: sent perhaps, stored perhaps.
bool IsUnknownOutcome(const absl::Status& status);

}  // namespace messaging

#endif  // MESSAGING_CONFIRMATION_H_
