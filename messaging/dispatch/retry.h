// What a handler's outcome means: a pure function of its options, the attempts so far and a random number.
#ifndef MESSAGING_DISPATCH_RETRY_H_
#define MESSAGING_DISPATCH_RETRY_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "messaging/handler_options.h"

namespace messaging {

struct Decision {
  enum class Verdict { kAck, kRetry, kDeadLetter, kRelease };
  Verdict verdict = Verdict::kAck;
  absl::Duration delay = absl::ZeroDuration();  // kRetry only.
};

// `attempts`: started so far, the one that ended now included. `random`: in [0, 1), for the jitter.
Decision Decide(const HandlerOptions& options, const absl::Status& outcome, int attempts, bool draining, double random);

// How long the n-th retry (from 1) waits: retry_delay * factor^(n-1), at most backoff.max, plus jitter.
absl::Duration RetryDelay(const HandlerOptions& options, int retry, double random);

// The delays that brokers with fixed delay places need for these handlers: ascending, each delay that Decide can ask
// for is at most the next one, at most `limit` of them (where there would be more, the densest are merged upwards).
std::vector<absl::Duration> RetryRungs(const std::vector<const HandlerOptions*>& handlers, size_t limit = 16);

}  // namespace messaging

#endif  // MESSAGING_DISPATCH_RETRY_H_
