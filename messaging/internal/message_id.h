// Ids for messages that come without one.
#ifndef MESSAGING_INTERNAL_MESSAGE_ID_H_
#define MESSAGING_INTERNAL_MESSAGE_ID_H_

#include <string>

#include "absl/time/time.h"

namespace messaging::internal {

// A UUID of version 7 (RFC 9562): `now` in milliseconds, then 74 random bits; 36 characters. No system call but a
// thread's first.
std::string NewMessageId(absl::Time now);

}  // namespace messaging::internal

#endif  // MESSAGING_INTERNAL_MESSAGE_ID_H_
