// What a line about a message says of it.
#ifndef MESSAGING_LOG_FIELDS_H_
#define MESSAGING_LOG_FIELDS_H_

#include "messaging/log.h"
#include "messaging/received.h"

namespace messaging {

// Topic, message id, handler, attempt and, where the message has one, trace id.
LogFields FieldsOf(const Received& received);

}  // namespace messaging

#endif  // MESSAGING_LOG_FIELDS_H_
