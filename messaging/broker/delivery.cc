#include "messaging/broker/delivery.h"

namespace messaging {
namespace {

Settlement WithCopy(Delivery delivery, Settlement::Verdict verdict, Copy copy) {
  Settlement settlement{.delivery = std::move(delivery), .verdict = verdict};
  settlement.copies = std::make_unique<std::vector<Copy>>();
  settlement.copies->push_back(std::move(copy));
  return settlement;
}

}  // namespace

Settlement Delivery::Ack() && { return {.delivery = std::move(*this), .verdict = Settlement::Verdict::kAck}; }

Settlement Delivery::Release() && { return {.delivery = std::move(*this), .verdict = Settlement::Verdict::kRelease}; }

Settlement Delivery::RetryAfter(absl::Duration delay, Failure failure) && {
  return WithCopy(std::move(*this), Settlement::Verdict::kAck,
                  {.kind = Copy::Kind::kRetry, .delay = delay, .failure = std::move(failure)});
}

Settlement Delivery::DeadLetter(Failure failure) && {
  return WithCopy(std::move(*this), Settlement::Verdict::kAck,
                  {.kind = Copy::Kind::kDeadLetter, .failure = std::move(failure)});
}

Settlement Delivery::Begin(std::string handler, int attempts, absl::Duration wait) && {
  return WithCopy(std::move(*this), Settlement::Verdict::kBegin,
                  {.delay = wait, .failure = {.handler = std::move(handler), .attempts = attempts}});
}

}  // namespace messaging
