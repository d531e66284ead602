// Handlers: plain functions that are called with typed messages.
//
//   absl::Status ChargePayment(const PaymentRequested& payment, Gateway& gateway);
//   MESSAGE_HANDLER(ChargePayment, {.topics = {"payments.process"}, .retry_delay = absl::Seconds(5)});
//
// The first parameter is the message: a type with a codec (codec.h), by const reference or value; for a batch
// `absl::Span<const T>`. Then, in any order: `const Received&` (a batch: `absl::Span<const Received>`), `Sender&`,
// `Completion` (makes the handler asynchronous; all that it was given by reference lives until that is called), and
// injected objects as `T&` (provide.h). It returns absl::Status; a batch handler std::vector<absl::Status>, one for
// each message in order; an asynchronous one void. Anything else does not compile, with one line that says what is
// wrong.
//
// OK acknowledges; what else happens is the options' matter (handler_options.h). Throwing is a failure with what() as
// text (of an asynchronous handler, unless it gave its Completion away before: then that decides). Handlers are called
// from several threads at once, up to `concurrency`, never two for one key.
#ifndef MESSAGING_HANDLER_H_
#define MESSAGING_HANDLER_H_

#include <functional>
#include <string>
#include <typeindex>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "messaging/call.h"
#include "messaging/handler_options.h"
#include "messaging/message_schema.h"
#include "messaging/provide.h"

namespace messaging {

// A handler with its types erased: what the engine and `core handlers` know of it.
struct Handler {
  std::string name;
  HandlerOptions options;
  std::type_index message = typeid(void);
  std::string message_type;               // For people: "Order", "span of Order".
  std::string content_type;               // What a message that declares none holds; empty: its codec does not say.
  std::function<MessageSchema()> schema;  // What its codec says of it; null: nothing.
  std::vector<TypeId> needs;              // Injected types.
  bool is_batch = false;
  bool is_async = false;
  bool validates = false;
  std::function<void(Call&)> invoke;  // May throw.
};

// Makes a handler of a function, a lambda or any other callable whose parameters are as above. Errors in the options
// (no topic, negative numbers, a validator of another type) are found when it is added to a client.
template <typename Function>
Handler MakeHandler(std::string name, Function function, HandlerOptions options);

// Adds to the process's list, from which each client takes those that name it. Before main or before Start;
// thread-safe.
void RegisterHandler(Handler handler);
template <typename Function>
void RegisterHandler(std::string name, Function function, HandlerOptions options) {
  RegisterHandler(MakeHandler(std::move(name), std::move(function), std::move(options)));
}
std::vector<Handler> RegisteredHandlers();

}  // namespace messaging

#include "messaging/internal/make_handler.h"  // IWYU pragma: export. MakeHandler.

// At namespace scope, in a file of a message_handlers() target (a plain cc_library could be dropped by the linker).
// `function` may be qualified; overloads go through RegisterHandler with a lambda.
#define MESSAGE_HANDLER(function, ...)                                                                 \
  [[maybe_unused]] static const bool MESSAGING_INTERNAL_CONCAT(messaging_registration_, __COUNTER__) = \
      (::messaging::RegisterHandler(::messaging::internal::FunctionName(#function), &function,         \
                                    ::messaging::HandlerOptions __VA_ARGS__),                          \
       true)
#define MESSAGING_INTERNAL_CONCAT(a, b) MESSAGING_INTERNAL_CONCAT_(a, b)
#define MESSAGING_INTERNAL_CONCAT_(a, b) a##b

#endif  // MESSAGING_HANDLER_H_
