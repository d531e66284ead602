// Handlers that cannot run: nobody provides what they take.
#include <string_view>

#include "absl/status/status.h"
#include "messaging/messaging.h"

namespace {

struct Gateway {};

absl::Status ChargePayment(const std::string_view&, Gateway&) { return absl::OkStatus(); }
MESSAGE_HANDLER(ChargePayment, {.topics = {"payments.process"}});

absl::Status RefundPayment(const std::string_view&, Gateway&) { return absl::OkStatus(); }
MESSAGE_HANDLER(RefundPayment, {.topics = {"payments.refund"}});

}  // namespace
