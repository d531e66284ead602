#include "messaging/confirmation.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "messaging/broker/clock.h"

namespace messaging {
namespace {

absl::Status EmptyError() { return absl::FailedPreconditionError("an empty Confirmation: nothing was sent with it"); }

absl::Status CannotWait(const OutgoingPtr& outgoing) {
  if (outgoing == nullptr) return EmptyError();
  if (Outgoing::InCallback()) {
    return absl::FailedPreconditionError(
        "Wait in a Then callback would hold up all callbacks of this producer; use Then there, too");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Receipt> Confirmation::Wait() const {
  if (absl::Status status = CannotWait(outgoing_); !status.ok()) return status;
  if (!outgoing_->WaitUntil(outgoing_->deadline())) {
    outgoing_->CompleteAsOverdue();
    outgoing_->WaitUntil(absl::InfiniteFuture());  // Whoever resolves it is just doing so.
  }
  outgoing_->MarkSeen();
  return outgoing_->ResultForUser();
}

absl::StatusOr<Receipt> Confirmation::Wait(absl::Duration limit) const {
  if (absl::Status status = CannotWait(outgoing_); !status.ok()) return status;
  const absl::Time end = Clock::Steady().Now() + limit;
  if (end >= outgoing_->deadline()) return Wait();
  if (!outgoing_->WaitUntil(end)) {
    return absl::DeadlineExceededError(absl::StrCat("not resolved within ", absl::FormatDuration(limit), " so far"));
  }
  outgoing_->MarkSeen();
  return outgoing_->ResultForUser();
}

void Confirmation::Then(std::function<void(const absl::StatusOr<Receipt>&)> callback) const {
  if (outgoing_ == nullptr) return callback(EmptyError());
  outgoing_->Then(std::move(callback));
}

bool Confirmation::resolved() const { return outgoing_ != nullptr && outgoing_->resolved(); }

const std::string& Confirmation::id() const {
  static const std::string* const none = new std::string;
  return outgoing_ == nullptr ? *none : outgoing_->message().id;
}

bool IsUnknownOutcome(const absl::Status& status) { return absl::IsDeadlineExceeded(status); }

}  // namespace messaging
