// [hello]
#include <iostream>

#include "cli/main.h"
#include "messaging/json/json.h"
#include "messaging/messaging.h"

absl::Status SendConfirmation(const nlohmann::json& order) {
  std::cout << "confirming order " << order.at("order_id") << std::endl;
  return absl::OkStatus();
}
MESSAGE_HANDLER(SendConfirmation, {.topics = {"orders.created"}, .max_retries = 3, .retry_delay = absl::Seconds(5)});

int main(int argc, char** argv) { return messaging::cli::Main(argc, argv); }
// [end]
