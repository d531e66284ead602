// Protobuf bodies: any generated message, in binary or as JSON, whichever the content type says.
//
//   absl::Status ChargePayment(const PaymentRequested& payment, Gateway& gateway);
//
// Binary: application/x-protobuf, application/protobuf, application/vnd.google.protobuf. JSON (protobuf's own mapping,
// taking field names in both spellings): application/json and what ends in "+json". Parameters may follow. A message
// that declares none is binary, or what HandlerOptions::content_type says; another one is refused (Unimplemented).
// Unknown fields are ignored in both forms, so that senders can be newer than handlers. InvalidArgument: bytes that are
// no such message (also: nested too deep), or a required field that is missing.
//
// Sent as application/x-protobuf, or as JSON when SendOptions::content_type says so.
#ifndef MESSAGING_PROTOBUF_PROTOBUF_H_
#define MESSAGING_PROTOBUF_PROTOBUF_H_

#include <concepts>
#include <string_view>

#include "absl/status/status.h"
#include "google/protobuf/message.h"
#include "messaging/codec.h"
#include "messaging/message.h"
#include "messaging/message_schema.h"
#include "messaging/received.h"

namespace messaging {
namespace internal {

absl::Status DecodeProtobuf(const Received& received, google::protobuf::Message& out);
absl::Status EncodeProtobuf(const google::protobuf::Message& message, Message& out);
MessageSchema ProtobufSchema(const google::protobuf::Message& message);

}  // namespace internal

template <std::derived_from<google::protobuf::Message> T>
struct Codec<T> {
  static constexpr std::string_view kContentType = "application/x-protobuf";
  static absl::Status Decode(const Received& received, T& out) { return internal::DecodeProtobuf(received, out); }
  static absl::Status Encode(const T& message, Message& out) { return internal::EncodeProtobuf(message, out); }
  static MessageSchema Schema() { return internal::ProtobufSchema(T::default_instance()); }
};

}  // namespace messaging

#endif  // MESSAGING_PROTOBUF_PROTOBUF_H_
