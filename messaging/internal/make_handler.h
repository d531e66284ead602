// Implementation of handler.h: how a function becomes a Handler, and what is said of one that cannot.
#ifndef MESSAGING_INTERNAL_MAKE_HANDLER_H_
#define MESSAGING_INTERNAL_MAKE_HANDLER_H_

#include <concepts>
#include <cstddef>
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
#include "messaging/provide.h"
#include "messaging/received.h"

namespace messaging {
namespace internal {

// "ns::F" -> "F".
std::string FunctionName(std::string_view name);
absl::Status WrongOutcomes(size_t messages, size_t outcomes);

// ---- The parameters after the message.

enum class Role { kInjected, kReceived, kReceivedSpan, kSender, kCompletion };

template <typename P>
constexpr Role RoleOf() {
  using T = std::remove_cvref_t<P>;
  if (std::same_as<T, Received>) return Role::kReceived;
  if (std::same_as<T, absl::Span<const Received>>) return Role::kReceivedSpan;
  if (std::same_as<T, Sender>) return Role::kSender;
  if (std::same_as<T, Completion>) return Role::kCompletion;
  return Role::kInjected;
}

// What one parameter needs from when it was resolved until the handler is called.
template <typename P, Role = RoleOf<P>()>
struct Argument {
  static constexpr bool kFits = std::is_lvalue_reference_v<P>;
  static absl::Status Resolve(Call& call, Argument& self) {
    absl::StatusOr<std::remove_cvref_t<P>*> found = call.scope().Get<std::remove_cvref_t<P>>();
    if (!found.ok()) return found.status();
    self.object = *found;
    return absl::OkStatus();
  }
  P Get(Call&, absl::Span<const Received>) const { return *object; }
  std::remove_cvref_t<P>* object = nullptr;
};

template <typename P>
struct Argument<P, Role::kReceived> {
  static constexpr bool kFits = std::convertible_to<const Received&, P>;
  const Received& Get(Call&, absl::Span<const Received> received) const { return received.front(); }
};

template <typename P>
struct Argument<P, Role::kReceivedSpan> {
  static constexpr bool kFits = std::convertible_to<absl::Span<const Received>, P>;
  absl::Span<const Received> Get(Call&, absl::Span<const Received> received) const { return received; }
};

template <typename P>
struct Argument<P, Role::kSender> {
  static constexpr bool kFits = std::same_as<P, Sender&>;
  Sender& Get(Call& call, absl::Span<const Received>) const { return call.sender(); }
};

template <typename P>
struct Argument<P, Role::kCompletion> {
  static constexpr bool kFits = std::same_as<std::remove_cvref_t<P>, P>;
  Completion Get(Call& call, absl::Span<const Received>) const { return call.Defer(); }
};

// ---- What can be wrong with a signature; the first that applies is told.

enum class Mistake {
  kNone,
  kCallable,
  kNoMessage,
  kMutable,
  kCodec,
  kDefault,
  kArgument,
  kNoSpan,
  kSpan,
  kAsyncBatch,
  kAsync,
  kBatch,
  kSingle
};

template <typename T>
struct BatchOf {
  using Message = T;
  static constexpr bool kIsBatch = false;
};
template <typename T>
struct BatchOf<absl::Span<const T>> {
  using Message = T;
  static constexpr bool kIsBatch = true;
};

template <typename Signature>
struct Analysis {
  static constexpr Mistake kMistake = Mistake::kNoMessage;
};

template <typename Return, typename First, typename... Rest>
struct Analysis<std::function<Return(First, Rest...)>> {
  using Message = typename BatchOf<std::remove_cvref_t<First>>::Message;
  using Arguments = std::tuple<Argument<Rest>...>;
  static constexpr bool kIsBatch = BatchOf<std::remove_cvref_t<First>>::kIsBatch;
  static constexpr int kCompletions = (0 + ... + (RoleOf<Rest>() == Role::kCompletion));
  static constexpr bool kIsAsync = kCompletions > 0;

  static constexpr Mistake Find() {
    if (!std::is_convertible_v<std::remove_cvref_t<First>&&, First>) return Mistake::kMutable;
    if (!Decodable<Message>) return Mistake::kCodec;
    if (!std::default_initializable<Message>) return Mistake::kDefault;
    if (!(Argument<Rest>::kFits && ...)) return Mistake::kArgument;
    if (kIsBatch && ((RoleOf<Rest>() == Role::kReceived) || ...)) return Mistake::kNoSpan;
    if (!kIsBatch && ((RoleOf<Rest>() == Role::kReceivedSpan) || ...)) return Mistake::kSpan;
    if (kIsBatch && kIsAsync) return Mistake::kAsyncBatch;
    if (kIsAsync && (kCompletions > 1 || !std::is_void_v<Return>)) return Mistake::kAsync;
    if (kIsBatch && !std::same_as<Return, std::vector<absl::Status>>) return Mistake::kBatch;
    if (!kIsAsync && !kIsBatch && !std::same_as<Return, absl::Status>) return Mistake::kSingle;
    return Mistake::kNone;
  }
  static constexpr Mistake kMistake = Find();
};

template <typename Function>
constexpr Mistake MistakeOf() {
  if constexpr (HasOneSignature<Function>) return Analysis<SignatureOf<Function>>::kMistake;
  return Mistake::kCallable;
}

template <Mistake kMistake>
constexpr void Tell() {
  static_assert(kMistake != Mistake::kCallable,
                "messaging: a handler is a function, lambda or functor whose parameter types can be read: for an "
                "overloaded or generic one register a lambda that calls it");
  static_assert(kMistake != Mistake::kNoMessage,
                "messaging: a handler's first parameter is its message, and it has none");
  static_assert(kMistake != Mistake::kMutable,
                "messaging: a handler takes its message by const reference, as in 'const Order& order', or by value");
  static_assert(kMistake != Mistake::kCodec,
                "messaging: no codec for the handler's first parameter, the message: include messaging/json/json.h "
                "(nlohmann::json, a struct with from_json) or messaging/protobuf/protobuf.h, or take std::string_view");
  static_assert(kMistake != Mistake::kDefault,
                "messaging: a message type needs a default constructor, as it is made before it is decoded");
  static_assert(kMistake != Mistake::kArgument,
                "messaging: after its message a handler takes injected objects by reference, as in 'Database& db', "
                "'const Received&', 'Sender&' and 'Completion'");
  static_assert(kMistake != Mistake::kNoSpan,
                "messaging: a batch handler takes 'absl::Span<const Received>' in place of 'const Received&'");
  static_assert(kMistake != Mistake::kSpan,
                "messaging: a handler of single messages takes 'const Received&' in place of a span of them");
  static_assert(kMistake != Mistake::kAsyncBatch, "messaging: a batch handler cannot take a Completion");
  static_assert(
      kMistake != Mistake::kAsync,
      "messaging: a handler with a Completion takes one and returns void: the outcome goes to the Completion");
  static_assert(kMistake != Mistake::kBatch,
                "messaging: a batch handler returns std::vector<absl::Status>, one status for each message");
  static_assert(kMistake != Mistake::kSingle,
                "messaging: a handler returns absl::Status, or takes a Completion and returns void");
}

// ---- Calling.

template <typename T>
concept HasValidate = requires(const T& message) {
  { Validate(message) } -> std::same_as<absl::Status>;
};

// What is done to a message before the handler sees it.
template <typename T>
struct Decoder {
  std::string default_content_type;
  Validator validate;

  absl::Status operator()(const Received& received, T& message) const {
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
    internal::Decoder<T> decode{.default_content_type = options.content_type};
    if (options.validate && options.validate.type() == typeid(T)) decode.validate = options.validate;
    handler.name = options.name.empty() ? std::move(name) : options.name;
    handler.message = typeid(T);
    handler.message_type = (A::kIsBatch ? "span of " : "") + internal::TypeName(typeid(T));
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
