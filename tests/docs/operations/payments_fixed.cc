// The service of docs/operations.md, mended.
#include <cstdint>
#include <iostream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "messaging/json/json.h"
#include "messaging/messaging.h"

// [handler]
absl::Status ChargePayment(const nlohmann::json& payment) {
  const nlohmann::json& amount = payment.at("amount_cents");  // The new shop sends it as text.
  int64_t cents = 0;
  if (!absl::SimpleAtoi(amount.is_string() ? amount.get<std::string>() : amount.dump(), &cents)) {
    return absl::InvalidArgumentError(absl::StrCat("amount_cents is ", amount.dump()));
  }
  std::cout << "charged " << cents << " cents for order " << payment.at("order_id") << std::endl;
  return absl::OkStatus();
}
// [end]
MESSAGE_HANDLER(ChargePayment,
                {.topics = {"payments.process"}, .max_retries = 2, .retry_delay = absl::Milliseconds(100)});
