#include "cli/limits.h"

#include <algorithm>

#include "absl/time/clock.h"

namespace messaging::cli {

bool Limits::Begin(const std::function<bool()>& draining) {
  if (max_messages_ == 0) return true;
  absl::MutexLock lock(&mutex_);
  while (begun_ + done_ >= max_messages_) {
    // One of those that have begun may fail, and its place be free; none may be answered before the consumer drains.
    const auto free = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return begun_ + done_ < max_messages_; };
    if (mutex_.AwaitWithTimeout(absl::Condition(&free), absl::Milliseconds(5))) break;
    if (draining()) return false;
  }
  ++begun_;
  return true;
}

void Limits::End(bool for_good) {
  if (max_messages_ == 0) return;
  {
    absl::MutexLock lock(&mutex_);
    --begun_;
  }
  if (for_good) Done();
}

void Limits::Done() {
  bool last;
  {
    absl::MutexLock lock(&mutex_);
    last = ++done_ == max_messages_;
  }
  if (last) reached_();
}

bool Limits::reached() const {
  absl::MutexLock lock(&mutex_);
  return max_messages_ > 0 && done_ >= max_messages_;
}

int64_t Limits::done() const {
  absl::MutexLock lock(&mutex_);
  return done_;
}

absl::Time Limits::last_activity() const {
  absl::MutexLock lock(&mutex_);
  return last_;
}

void Limits::Touch(absl::Time now) {
  absl::MutexLock lock(&mutex_);
  last_ = std::max(last_, now);
}

void Limits::OnReceived(std::string_view, size_t, size_t) { Touch(absl::Now()); }

void Limits::OnHandled(std::string_view, std::string_view, const Handled& attempts) {
  Touch(absl::Now());
  if (!count_handled_ || !attempts.status.ok()) return;
  for (size_t i = 0; i < attempts.timestamps.size(); ++i) Done();
}

void Limits::OnDeadLetter(std::string_view, std::string_view, const absl::Status&) {
  if (count_handled_) Done();
}

}  // namespace messaging::cli
