#include "messaging/manual_consumer.h"

#include <utility>

namespace messaging {
namespace {

// No registered handler names such a client: only the one that is given to it.
constexpr char kClientName[] = "__messaging.manual";

absl::StatusOr<std::unique_ptr<Client>> MakeClient(std::string broker, const ManualConsumerOptions& options) {
  if (options.group_id.empty()) return absl::InvalidArgumentError("a consumer needs a group_id");
  if (options.topics.empty()) return absl::InvalidArgumentError("a consumer needs topics");
  if (!options.message_handler) return absl::InvalidArgumentError("a consumer needs a message_handler");
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Create({.name = kClientName,
                                                                   .broker = std::move(broker),
                                                                   .url = options.url,
                                                                   .group = options.group_id,
                                                                   .native = options.native,
                                                                   .observer = options.observer});
  if (!client.ok()) return client;
  HandlerOptions handler = options.handler;
  handler.topics = options.topics;
  handler.group.clear();
  handler.client = kClientName;
  if (handler.name.empty()) handler.name = "message_handler";
  (*client)->AddHandler(options.message_handler(std::move(handler)));
  return client;
}

}  // namespace

ManualConsumer::ManualConsumer(std::string broker, ManualConsumerOptions options)
    : options_(std::move(options)), client_(MakeClient(std::move(broker), options_)) {}

ManualConsumer::~ManualConsumer() = default;

absl::Status ManualConsumer::Start() { return client_.ok() ? (*client_)->Start(options_.consumer) : client_.status(); }

absl::Status ManualConsumer::Wait() { return client_.ok() ? (*client_)->Wait() : client_.status(); }

absl::Status ManualConsumer::Stop() { return client_.ok() ? (*client_)->Stop() : absl::OkStatus(); }

}  // namespace messaging
