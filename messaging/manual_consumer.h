// A consumer made by hand: one function for some topics of one group, without registration. Brokers' packages give it
// their names (redis/consumer.h), as in
//
//   redis::Consumer consumer({.group_id = "my-service", .topics = {"orders.created"}, .message_handler = Process});
//   absl::Status status = consumer.Start();
//
// Retries, dead letters, order and draining are the same as for registered handlers.
#ifndef MESSAGING_MANUAL_CONSUMER_H_
#define MESSAGING_MANUAL_CONSUMER_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/client.h"
#include "messaging/handler.h"
#include "messaging/observer.h"
#include "messaging/received.h"

namespace messaging {

// Any function that MESSAGE_HANDLER takes, or `absl::Status(const Received&)` for the message as it is.
class MessageHandler {
 public:
  MessageHandler() = default;
  template <typename Function>
  MessageHandler(Function function)  // NOLINT: implicit, so that `.message_handler = Process` reads well.
      : make_([function = std::move(function)](HandlerOptions options) {
          std::string name = options.name;
          if constexpr (std::is_invocable_r_v<absl::Status, const Function&, const Received&>) {
            return MakeHandler(
                std::move(name), [function](std::string_view, const Received& received) { return function(received); },
                std::move(options));
          } else {
            return MakeHandler(std::move(name), function, std::move(options));
          }
        }) {}
  explicit operator bool() const { return make_ != nullptr; }
  Handler operator()(HandlerOptions options) const { return make_(std::move(options)); }

 private:
  std::function<Handler(HandlerOptions)> make_;
};

// What a manual consumer reads, and with what it handles it.
struct ManualConsumerOptions {
  std::string group_id;
  std::vector<std::string> topics;
  MessageHandler message_handler;
  std::string url;                            // Empty: as for a client (client_options.h).
  std::map<std::string, std::string> native;  // The broker's own settings.
  // Its topics and group are those above; its name, which retries and dead letters keep, is "message_handler" unless
  // it is given.
  HandlerOptions handler;
  ConsumerOptions consumer;
  Observer* observer = nullptr;  // Not owned; outlives the consumer.
};

// Thread-safe. Start once.
class ManualConsumer {
 public:
  ManualConsumer(std::string broker, ManualConsumerOptions options);
  ~ManualConsumer();  // Stops.

  // Joins, and returns when messages can come. InvalidArgument: no group, topic or handler; else as Client::Create and
  // Client::Start.
  absl::Status Start();
  absl::Status Wait();  // Blocks until Stop was called from elsewhere, or the consumer ended by itself: then why.
  absl::Status Stop();  // Drains; see Client::Stop.
  // What the function is given besides its message, before Start. Null: the options are wrong, as Start says.
  Providers* providers() { return client_.ok() ? &(*client_)->providers() : nullptr; }

 private:
  ManualConsumerOptions options_;
  absl::StatusOr<std::unique_ptr<Client>> client_;
};

}  // namespace messaging

#endif  // MESSAGING_MANUAL_CONSUMER_H_
