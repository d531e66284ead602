// What Send does with a message before it goes anywhere: shared by the producer and the outbox.
#ifndef MESSAGING_INTERNAL_COMPLETE_MESSAGE_H_
#define MESSAGING_INTERNAL_COMPLETE_MESSAGE_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "messaging/message.h"
#include "messaging/producer.h"

namespace messaging::internal {

// Moves what the options say into the message, and gives it an id and a timestamp where it has none.
void CompleteMessage(SendOptions& options, absl::Time now, Message& message);
// InvalidArgument: a topic or a header that cannot be sent.
absl::Status CheckMessage(const Message& message);

}  // namespace messaging::internal

#endif  // MESSAGING_INTERNAL_COMPLETE_MESSAGE_H_
