// One call of a handler as the engine makes it and as the typed layer (handler.h) sees it. Users meet only Completion.
#ifndef MESSAGING_CALL_H_
#define MESSAGING_CALL_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "messaging/received.h"

namespace messaging {

class Scope;
class Sender;

// The end of an asynchronous handler's attempt: called once, later, from any thread. Destroyed uncalled, the attempt
// has failed (Internal, "completion destroyed uncalled"). Move-only; calls after the first do nothing.
class Completion {
 public:
  using Finish = std::function<void(absl::Status)>;
  explicit Completion(Finish finish) : finish_(std::move(finish)) {}
  Completion(Completion&& other) noexcept : finish_(std::exchange(other.finish_, nullptr)) {}
  Completion& operator=(Completion&& other) noexcept;
  ~Completion();
  void operator()(absl::Status outcome) { Call(std::move(outcome)); }

 private:
  void Call(absl::Status outcome) {
    if (Finish finish = std::exchange(finish_, nullptr)) finish(std::move(outcome));
  }
  Finish finish_;
};

// What a Completion that is destroyed uncalled says.
absl::Status UncalledCompletion();

// Messages that are handled together: one, or for a batch handler up to HandlerOptions::batch.max.
class Call {
 public:
  virtual ~Call() = default;
  virtual absl::Span<const Received> messages() const = 0;
  virtual Scope& scope() = 0;    // The injected objects of this call.
  virtual Sender& sender() = 0;  // Sends that join this call's outcome.
  // The handler's verdict on message `i`. Every message has to get one before a synchronous call returns.
  virtual void SetOutcome(size_t i, absl::Status outcome) = 0;
  // Message `i` was not given to the handler, as it does not decode or validate: to the dead letters, whatever its
  // code.
  virtual void Reject(size_t i, absl::Status why) = 0;
  // The only message's outcome comes by the completion. The call and its messages live until then.
  virtual Completion Defer() = 0;
};

}  // namespace messaging

#endif  // MESSAGING_CALL_H_
