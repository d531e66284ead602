// The service of docs/operations.md, as it was on the bad day.
#include <cstdint>
#include <iostream>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "messaging/json/json.h"
#include "messaging/messaging.h"

// [handler]
absl::Status ChargePayment(const nlohmann::json& payment) {
  const auto cents = payment.at("amount_cents").get<int64_t>();
  std::cout << "charged " << cents << " cents for order " << payment.at("order_id") << std::endl;
  return absl::OkStatus();
}
MESSAGE_HANDLER(ChargePayment,
                {.topics = {"payments.process"}, .max_retries = 2, .retry_delay = absl::Milliseconds(100)});
// [end]
