#include "messaging/call.h"

namespace messaging {
namespace {

absl::Status Uncalled() { return absl::InternalError("completion destroyed uncalled"); }

}  // namespace

Completion& Completion::operator=(Completion&& other) noexcept {
  if (this != &other) {
    Call(Uncalled());
    finish_ = std::exchange(other.finish_, nullptr);
  }
  return *this;
}

Completion::~Completion() { Call(Uncalled()); }

}  // namespace messaging
