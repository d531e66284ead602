#include "messaging/call.h"

namespace messaging {

absl::Status UncalledCompletion() { return absl::InternalError("completion destroyed uncalled"); }

Completion& Completion::operator=(Completion&& other) noexcept {
  if (this != &other) {
    Call(UncalledCompletion());
    finish_ = std::exchange(other.finish_, nullptr);
  }
  return *this;
}

Completion::~Completion() { Call(UncalledCompletion()); }

}  // namespace messaging
