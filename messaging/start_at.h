// Where a new consumer group begins.
#ifndef MESSAGING_START_AT_H_
#define MESSAGING_START_AT_H_

namespace messaging {

// Matters only when the group is new; a known one goes on where it was.
enum class StartAt {
  kBeginning,  // It also gets what was sent before it existed, as far as the broker keeps that.
  kNow,        // Only what is sent from now on.
};

}  // namespace messaging

#endif  // MESSAGING_START_AT_H_
