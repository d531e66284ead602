// Charges cards. The gateway is a stand-in: a card "declined..." is refused for good, "flaky..." fails the first time,
// "down..." each time.
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "examples/shop/events/shop.pb.h"
#include "examples/shop/events/topics.h"
#include "examples/shop/service/service.h"
#include "messaging/messaging.h"

namespace shop {
namespace {

using messaging::Received;
using messaging::inbox::Transaction;

absl::Status CheckRequest(const PaymentRequested& request) {
  if (request.amount_cents() <= 0) return absl::InvalidArgumentError("amount_cents is not positive");
  return HasOrder(request);
}

// A real one is told the order's number, as it is outside of our transaction and may be asked twice.
absl::Status AskGateway(const PaymentRequested& request, int attempt) {
  if (absl::StartsWith(request.card(), "declined")) return absl::FailedPreconditionError("card declined");
  if (absl::StartsWith(request.card(), "down")) return absl::UnavailableError("the gateway does not answer");
  if (absl::StartsWith(request.card(), "flaky") && attempt == 1) return absl::UnavailableError("the gateway is busy");
  return absl::OkStatus();
}

}  // namespace

absl::Status ChargePayment(const PaymentRequested& request, const Received& received, Transaction& db) {
  const bool late = request.pay_by() > 0 && absl::Now() > absl::FromUnixSeconds(request.pay_by());
  const absl::Status charged =
      late ? absl::FailedPreconditionError("too late to pay") : AskGateway(request, received.attempt());
  // Never without an answer: whoever asked holds stock for it. What is not charged by the last attempt never is.
  if (absl::IsUnavailable(charged) && !received.last_attempt()) return charged;
  absl::Status noted =
      db.Execute("INSERT INTO payments(order_id, amount_cents, failure) VALUES($1, $2, $3)",
                 {request.order_id(), charged.ok() ? request.amount_cents() : 0, std::string(charged.message())})
          .status();
  if (!noted.ok()) return noted;
  if (!charged.ok()) {
    PaymentFailed failed;
    failed.set_order_id(request.order_id());
    failed.set_reason(std::string(charged.message()));
    return Publish(db, kPaymentFailed, failed);
  }
  PaymentCharged done;
  done.set_order_id(request.order_id());
  done.set_amount_cents(request.amount_cents());
  return Publish(db, kPaymentCharged, done);
}

MESSAGE_HANDLER(ChargePayment, (Handling(kChargePayment, &CheckRequest, 4)));

}  // namespace shop
