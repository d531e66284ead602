// Implementation of handler.h: what a handler's parameters are, where they come from, and what is said of a signature
// that does not fit.
#ifndef MESSAGING_INTERNAL_SIGNATURE_H_
#define MESSAGING_INTERNAL_SIGNATURE_H_

#include <concepts>
#include <functional>
#include <tuple>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "messaging/call.h"
#include "messaging/codec.h"
#include "messaging/provide.h"
#include "messaging/received.h"

namespace messaging::internal {

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
  kNotCallable,
  kNoMessage,
  kMutableMessage,
  kNoCodec,
  kNoDefaultConstructor,
  kArgument,
  kReceivedInBatch,
  kSpanInSingle,
  kCompletionInBatch,
  kAsyncOutcome,
  kBatchOutcome,
  kOutcome
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
    if (!std::is_convertible_v<std::remove_cvref_t<First>&&, First>) return Mistake::kMutableMessage;
    if (!Decodable<Message>) return Mistake::kNoCodec;
    if (!std::default_initializable<Message>) return Mistake::kNoDefaultConstructor;
    if (!(Argument<Rest>::kFits && ...)) return Mistake::kArgument;
    if (kIsBatch && ((RoleOf<Rest>() == Role::kReceived) || ...)) return Mistake::kReceivedInBatch;
    if (!kIsBatch && ((RoleOf<Rest>() == Role::kReceivedSpan) || ...)) return Mistake::kSpanInSingle;
    if (kIsBatch && kIsAsync) return Mistake::kCompletionInBatch;
    if (kIsAsync && (kCompletions > 1 || !std::is_void_v<Return>)) return Mistake::kAsyncOutcome;
    if (kIsBatch && !std::same_as<Return, std::vector<absl::Status>>) return Mistake::kBatchOutcome;
    if (!kIsAsync && !kIsBatch && !std::same_as<Return, absl::Status>) return Mistake::kOutcome;
    return Mistake::kNone;
  }
  static constexpr Mistake kMistake = Find();
};

template <typename Function>
constexpr Mistake MistakeOf() {
  if constexpr (HasOneSignature<Function>) return Analysis<SignatureOf<Function>>::kMistake;
  return Mistake::kNotCallable;
}

template <Mistake kMistake>
constexpr void Tell() {
  static_assert(kMistake != Mistake::kNotCallable,
                "messaging: a handler is a function, lambda or functor whose parameter types can be read: for an "
                "overloaded or generic one register a lambda that calls it");
  static_assert(kMistake != Mistake::kNoMessage,
                "messaging: a handler's first parameter is its message, and it has none");
  static_assert(kMistake != Mistake::kMutableMessage,
                "messaging: a handler takes its message by const reference, as in 'const Order& order', or by value");
  static_assert(kMistake != Mistake::kNoCodec,
                "messaging: no codec for the handler's first parameter, the message: include messaging/json/json.h "
                "(nlohmann::json, a struct with from_json) or messaging/protobuf/protobuf.h, or take std::string_view");
  static_assert(kMistake != Mistake::kNoDefaultConstructor,
                "messaging: a message type needs a default constructor, as it is made before it is decoded");
  static_assert(kMistake != Mistake::kArgument,
                "messaging: after its message a handler takes injected objects by reference, as in 'Database& db', "
                "'const Received&', 'Sender&' and 'Completion'");
  static_assert(kMistake != Mistake::kReceivedInBatch,
                "messaging: a batch handler takes 'absl::Span<const Received>' in place of 'const Received&'");
  static_assert(kMistake != Mistake::kSpanInSingle,
                "messaging: a handler of single messages takes 'const Received&' in place of a span of them");
  static_assert(kMistake != Mistake::kCompletionInBatch, "messaging: a batch handler cannot take a Completion");
  static_assert(
      kMistake != Mistake::kAsyncOutcome,
      "messaging: a handler with a Completion takes one and returns void: the outcome goes to the Completion");
  static_assert(kMistake != Mistake::kBatchOutcome,
                "messaging: a batch handler returns std::vector<absl::Status>, one status for each message");
  static_assert(kMistake != Mistake::kOutcome,
                "messaging: a handler returns absl::Status, or takes a Completion and returns void");
}

}  // namespace messaging::internal

#endif  // MESSAGING_INTERNAL_SIGNATURE_H_
