// A service of the quick start that stores and publishes.
#ifndef TESTS_DOCS_SNIPPETS_SERVICE_H_
#define TESTS_DOCS_SNIPPETS_SERVICE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/messaging.h"
#include "tests/docs/snippets/shop.h"

absl::Status ConfigureShop(const std::string& path);
void SendOrderCreated(int64_t order_id, int64_t user_id);
absl::StatusOr<messaging::Receipt> SendAndWait(int64_t order_id);
absl::StatusOr<int64_t> CreateOrder(Orders& orders, int64_t user_id, double total);
absl::StatusOr<std::unique_ptr<messaging::Client>> StartCustomConsumer(
    const std::string& url, std::function<absl::Status(const std::string&)> process_message);

#endif  // TESTS_DOCS_SNIPPETS_SERVICE_H_
