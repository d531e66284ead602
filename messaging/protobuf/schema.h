// JSON Schema of protobuf messages: what their JSON mapping looks like.
#ifndef MESSAGING_PROTOBUF_SCHEMA_H_
#define MESSAGING_PROTOBUF_SCHEMA_H_

#include "google/protobuf/descriptor.h"
#include "messaging/message_schema.h"

namespace messaging::internal {

// The message's, and those of all messages that it has, by their full names.
MessageSchema SchemaOf(const google::protobuf::Descriptor& message);

}  // namespace messaging::internal

#endif  // MESSAGING_PROTOBUF_SCHEMA_H_
