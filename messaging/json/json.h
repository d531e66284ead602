// JSON bodies: nlohmann::json itself, and every type that converts from or to it (from_json and to_json beside the
// type, or one of NLOHMANN_DEFINE_TYPE_*).
//
//   absl::Status SendConfirmation(const nlohmann::json& message, Mailer& mailer);
//   absl::Status SyncInventory(const Order& order, Database& db);           // struct Order with from_json
//   messaging::GetProducer().Send("orders.created", {{"order_id", 7}});     // a braced body is JSON
//
// A content type is JSON when it is application/json or text/json or ends in "+json", whatever parameters follow; a
// message that declares none is taken for it, another one is refused (Unimplemented). What is refused as
// InvalidArgument, with where and why: text that is no JSON (also: invalid UTF-8, numbers that no double can hold, more
// than 500 levels deep), JSON that does not convert, and, for types that convert both ways, numbers that their fields
// cannot hold (the conversions would cut them off). Strings and Cords stay bytes; they are never JSON text.
//
// A type whose JSON is to be described in documents (`core asyncapi`) has beside it
//   std::string JsonSchema(const Order*) { return R"({"type": "object", "properties": {...}})"; }
#ifndef MESSAGING_JSON_JSON_H_
#define MESSAGING_JSON_JSON_H_

#include <concepts>
#include <exception>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>

#include "absl/status/status.h"
#include "messaging/codec.h"
#include "messaging/message.h"
#include "messaging/message_schema.h"
#include "messaging/producer.h"
#include "messaging/received.h"
#include "nlohmann/json.hpp"

namespace messaging {
namespace internal {

absl::Status ParseJson(const Received& received, nlohmann::json& out);
absl::Status DumpJson(const nlohmann::json& json, Message& out);
MessageSchema JsonSchemaOf(const std::type_info& type, std::string schema);
// A conversion's exception as a status: "order_id: missing".
absl::Status ConversionError(const std::exception& exception);
// `again`: what the value that was read from `read` is as JSON. Numbers that their fields could not hold are an error
// that names the first of them.
absl::Status CheckNumbers(const nlohmann::json& read, const nlohmann::json& again);

template <typename T>
concept FromJson = !Bytes<T> && requires(const nlohmann::json& json, T& out) {
  json.get_to(out);
};
template <typename T>
concept ToJson = !Bytes<T> && !std::is_pointer_v<T> && requires(nlohmann::json & json, const T& value) {
  nlohmann::adl_serializer<T>::to_json(json, value);
};

}  // namespace internal

template <>
struct Codec<nlohmann::json> {
  static constexpr std::string_view kContentType = "application/json";
  static absl::Status Decode(const Received& received, nlohmann::json& out) {
    return internal::ParseJson(received, out);
  }
  static absl::Status Encode(const nlohmann::json& json, Message& out) { return internal::DumpJson(json, out); }
};

template <typename T>
requires internal::FromJson<T> || internal::ToJson<T>
struct Codec<T> {
  static constexpr std::string_view kContentType = "application/json";

  static MessageSchema Schema() {
    if constexpr (requires(const T* none) { std::string(JsonSchema(none)); }) {
      return internal::JsonSchemaOf(typeid(T), JsonSchema(static_cast<const T*>(nullptr)));
    } else {
      return internal::JsonSchemaOf(typeid(T), "{}");  // Whatever it converts from.
    }
  }

  static absl::Status Decode(const Received& received, T& out) requires internal::FromJson<T> {
    nlohmann::json json;
    if (absl::Status status = internal::ParseJson(received, json); !status.ok()) return status;
    try {
      json.get_to(out);
    } catch (const std::exception& exception) {
      return internal::ConversionError(exception);
    }
    if constexpr (internal::ToJson<T>) return CheckFits(json, out);
    return absl::OkStatus();
  }

  static absl::Status Encode(const T& value, Message& out) requires internal::ToJson<T> {
    try {
      return internal::DumpJson(nlohmann::json(value), out);
    } catch (const std::exception& exception) {
      return internal::ConversionError(exception);
    }
  }

 private:
  static absl::Status CheckFits(const nlohmann::json& json, const T& value) {
    nlohmann::json again;
    try {
      again = value;
    } catch (const std::exception&) {  // It has its own reasons not to be written.
      return absl::OkStatus();
    }
    return internal::CheckNumbers(json, again);
  }
};

// Send(topic, {{"order_id", 7}}).
template <>
struct DefaultBody<void> {
  using type = nlohmann::json;
};

}  // namespace messaging

#endif  // MESSAGING_JSON_JSON_H_
