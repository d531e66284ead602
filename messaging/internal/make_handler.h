// Implementation of handler.h: how a function whose signature fits (signature.h) becomes a Handler.
#ifndef MESSAGING_INTERNAL_MAKE_HANDLER_H_
#define MESSAGING_INTERNAL_MAKE_HANDLER_H_

#include <concepts>
#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "messaging/call.h"
#include "messaging/codec.h"
#include "messaging/handler.h"
#include "messaging/handler_options.h"
#include "messaging/internal/signature.h"
#include "messaging/message_schema.h"
#include "messaging/provide.h"
#include "messaging/received.h"

namespace messaging {
namespace internal {

// "ns::F" -> "F".
std::string FunctionName(std::string_view name);
absl::Status WrongOutcomes(size_t messages, size_t outcomes);
absl::Status Threw(std::string_view what);  // While decoding or validating.

template <typename T>
concept HasValidate = requires(const T& message) {
  { Validate(message) } -> std::same_as<absl::Status>;
};

// What is done to a message before the handler sees it.
template <typename T>
struct Decoder {
  std::string default_content_type;
  Validator validate;
  bool once = false;  // HandlerOptions::idempotent.

  // What a check or a user's codec throws is this message's matter, not that of its batch.
  absl::Status operator()(const Received& received, T& message) const {
    try {
      return Read(received, message);
    } catch (const std::exception& exception) {
      return Threw(exception.what());
    }
  }

 private:
  absl::Status Read(const Received& received, T& message) const {
    absl::Status status = default_content_type.empty()
                              ? Codec<T>::Decode(received, message)
                              : Codec<T>::Decode(received.WithDefaultContentType(default_content_type), message);
    if (!status.ok()) return status;
    if (validate) return validate(&message);
    if constexpr (HasValidate<T>) return Validate(message);
    return absl::OkStatus();
  }
};

// Finds the injected objects, before the handler is called with any of them.
template <typename... A>
absl::Status ResolveAll(Call& call, std::tuple<A...>& arguments) {
  absl::Status status;
  [[maybe_unused]] auto resolve = [&]<typename Each>(Each& argument) {
    if constexpr (requires { Each::Resolve(call, argument); }) status = Each::Resolve(call, argument);
    return status.ok();
  };
  std::apply([&](A&... argument) { (void)(resolve(argument) && ...); }, arguments);
  return status;
}

template <typename Function, typename Message, typename Arguments>
decltype(auto) Apply(Function& function, Message&& message, Call& call, absl::Span<const Received> received,
                     Arguments& arguments) {
  auto apply = [&](auto&... argument) -> decltype(auto) {
    return function(std::forward<Message>(message), argument.Get(call, received)...);
  };
  return std::apply(apply, arguments);
}

template <typename A, typename Function>
void InvokeWith(typename A::Message& message, Function& function, const Decoder<typename A::Message>& decode,
                Call& call) {
  const absl::Span<const Received> received = call.messages();
  if (absl::Status status = decode(received.front(), message); !status.ok()) return call.Reject(0, std::move(status));
  typename A::Arguments arguments;
  if (absl::Status status = ResolveAll(call, arguments); !status.ok()) return call.SetOutcome(0, std::move(status));
  if (decode.once) {
    absl::StatusOr<bool> is_new = call.scope().MarkHandled(received.front());
    if (!is_new.ok() || !*is_new) return call.SetOutcome(0, is_new.status());  // OK: it was handled before.
  }
  if constexpr (A::kIsAsync) {
    Apply(function, std::move(message), call, received, arguments);
  } else {
    call.SetOutcome(0, Apply(function, std::move(message), call, received, arguments));
  }
}

template <typename A, typename Function>
void InvokeSingle(Function& function, const Decoder<typename A::Message>& decode, Call& call) {
  if constexpr (A::kIsAsync) {
    auto message = std::make_shared<typename A::Message>();  // Used until the completion is called.
    call.scope().Keep(message);
    InvokeWith<A>(*message, function, decode, call);
  } else {
    typename A::Message message{};
    InvokeWith<A>(message, function, decode, call);
  }
}

template <typename A, typename Function>
void InvokeBatch(Function& function, const Decoder<typename A::Message>& decode, Call& call) {
  const absl::Span<const Received> all = call.messages();
  std::vector<typename A::Message> messages;
  std::vector<Received> received;
  std::vector<size_t> places;  // Of `messages` among all.
  messages.reserve(all.size());
  received.reserve(all.size());
  places.reserve(all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    if (absl::Status status = decode(all[i], messages.emplace_back()); status.ok()) {
      received.push_back(all[i]);
      places.push_back(i);
    } else {
      messages.pop_back();
      call.Reject(i, std::move(status));
    }
  }
  if (messages.empty()) return;
  typename A::Arguments arguments;
  absl::Status status = ResolveAll(call, arguments);
  std::vector<absl::Status> outcomes;
  if (status.ok()) {
    outcomes = Apply(function, absl::MakeConstSpan(messages), call, received, arguments);
    if (outcomes.size() != messages.size()) status = WrongOutcomes(messages.size(), outcomes.size());
  }
  for (size_t i = 0; i < places.size(); ++i) {
    call.SetOutcome(places[i], status.ok() ? std::move(outcomes[i]) : status);
  }
}

template <typename... Rest, typename Return, typename First>
std::vector<TypeId> NeedsOf(std::type_identity<std::function<Return(First, Rest...)>>) {
  std::vector<TypeId> needs;
  [[maybe_unused]] auto add = [&]<typename P>(std::type_identity<P>) {
    if constexpr (RoleOf<P>() == Role::kInjected) needs.push_back(TypeId::Of<std::remove_cvref_t<P>>());
  };
  (add(std::type_identity<Rest>()), ...);
  return needs;
}

}  // namespace internal

template <typename Function>
Handler MakeHandler(std::string name, Function function, HandlerOptions options) {
  Handler handler;
  constexpr internal::Mistake kMistake = internal::MistakeOf<Function>();
  internal::Tell<kMistake>();
  if constexpr (kMistake == internal::Mistake::kNone) {
    using Signature = internal::SignatureOf<Function>;
    using A = internal::Analysis<Signature>;
    using T = typename A::Message;
    internal::Decoder<T> decode{.default_content_type = options.content_type, .once = options.idempotent};
    if (options.validate && options.validate.type() == typeid(T)) decode.validate = options.validate;
    handler.name = options.name.empty() ? std::move(name) : options.name;
    handler.message = typeid(T);
    handler.message_type = (A::kIsBatch ? "span of " : "") + internal::TypeName(typeid(T));
    handler.content_type = options.content_type;
    if constexpr (requires { std::string(Codec<T>::kContentType); }) {
      if (handler.content_type.empty()) handler.content_type = std::string(Codec<T>::kContentType);
    }
    if constexpr (requires {
                    { Codec<T>::Schema() } -> std::same_as<MessageSchema>;
                  }) {
      handler.schema = &Codec<T>::Schema;
    }
    handler.needs = internal::NeedsOf(std::type_identity<Signature>());
    handler.is_batch = A::kIsBatch;
    handler.is_async = A::kIsAsync;
    handler.validates = options.validate || internal::HasValidate<T>;
    handler.invoke = [function = std::move(function), decode = std::move(decode)](Call& call) mutable {
      if constexpr (A::kIsBatch) {
        internal::InvokeBatch<A>(function, decode, call);
      } else {
        internal::InvokeSingle<A>(function, decode, call);
      }
    };
    handler.options = std::move(options);
  }
  return handler;
}

}  // namespace messaging

#endif  // MESSAGING_INTERNAL_MAKE_HANDLER_H_
