// How a C++ type becomes a payload and back. A codec is found by type: this header has the one for bytes;
// messaging/json and messaging/protobuf have theirs; a user's own type may specialise Codec.
#ifndef MESSAGING_CODEC_H_
#define MESSAGING_CODEC_H_

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "messaging/message.h"
#include "messaging/received.h"

namespace messaging {

// Specialise with
//   static absl::Status Decode(const Received& received, T& out);   // InvalidArgument: the bytes are no T, and where
//   static absl::Status Encode(const T& value, Message& out);       // sets payload and content_type
//   static constexpr std::string_view kContentType = "...";         // what a missing content type means
//   static MessageSchema Schema();                                  // message_schema.h; for documents; may be missing
// Decode answers Unimplemented, naming the type, for a declared content type that it does not know. A failed Decode
// goes to the dead letters with its status and the bytes untouched; it is never retried. Where Encode finds
// `out.content_type` set, the sender asked for that one: InvalidArgument if the value cannot be written so.
template <typename T>
struct Codec;

template <typename T>
concept Decodable = requires(const Received& received, T& out) {
  { Codec<T>::Decode(received, out) } -> std::same_as<absl::Status>;
};

template <typename T>
concept Encodable = requires(const T& value, Message& out) {
  { Codec<T>::Encode(value, out) } -> std::same_as<absl::Status>;
};

// Bytes: as they are, whatever the content type says. A std::string_view points into the broker's buffer: no copy.
template <typename T>
concept Bytes = std::same_as<T, std::string> || std::same_as<T, std::string_view> || std::same_as<T, absl::Cord>;

template <Bytes T>
struct Codec<T> {
  static constexpr std::string_view kContentType = "application/octet-stream";
  static absl::Status Decode(const Received& received, T& out) {
    out = T(received.payload());
    return absl::OkStatus();
  }
  static absl::Status Encode(const T& value, Message& out) {
    out.payload = std::string(value);
    if (out.content_type.empty()) out.content_type = std::string(kContentType);
    return absl::OkStatus();
  }
};

// String literals: Send("topic", "text") sends these bytes.
template <>
struct Codec<const char*> {
  static absl::Status Encode(const char* value, Message& out) { return Codec<std::string>::Encode(value, out); }
};

}  // namespace messaging

#endif  // MESSAGING_CODEC_H_
