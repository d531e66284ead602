#include "messaging/dispatch/call_times.h"

#include <algorithm>
#include <utility>

namespace messaging {

void CallTimes::Open(std::string_view handler, std::string_view topic) {
  const absl::Time now = clock_.Now();
  if (count_ > 0) Close(now, 0);
  began_ = now;
  handler_ = handler;
  if (topic_ != topic) topic_.assign(topic);
}

CallTimes::Times CallTimes::Split() {
  if (observer_ == nullptr) return {};
  const absl::Time now = clock_.Now();
  const absl::Duration took = Close(now, 1);
  length_ = 1;  // What comes with sends or a commit is not quick.
  quick_ = 0;
  return {now - took, took};
}

void CallTimes::Failed(const absl::Status& status, absl::Time timestamp) {
  const absl::Time now = clock_.Now();
  const absl::Duration took = Close(now, 1);
  Tell(status, took, now - took, {timestamp});
}

void CallTimes::Flush() {
  if (count_ > 0) Close(clock_.Now(), 0);
}

// Tells of the calls since began_, without the last one if there was one `more`. What the last one took.
absl::Duration CallTimes::Close(absl::Time now, size_t more) {
  const int64_t took = absl::ToInt64Nanoseconds(now - began_);
  const int64_t calls = static_cast<int64_t>(count_ + more);
  const int64_t share = took / calls;
  const bool quick = took <= kQuick;
  // One of several took longer than expected: hardly each of them.
  const int64_t each = quick ? share : std::min(share, each_);
  const absl::Duration last = absl::Nanoseconds(took - each * (calls - 1));
  if (quick) {
    each_ = each;
    quick_ += static_cast<size_t>(calls);
    const int64_t expected = kQuick / 2 / std::max<int64_t>(each, 1);
    if (quick_ >= kTrusted) length_ = static_cast<size_t>(std::clamp<int64_t>(expected, 1, kMost));
  } else {
    length_ = 1;
    quick_ = 0;
  }
  const auto timestamps = absl::MakeConstSpan(timestamps_.data(), std::exchange(count_, 0));
  const size_t alike = timestamps.size() - (quick || more > 0 ? 0 : 1);
  if (alike > 0) Tell(absl::OkStatus(), absl::Nanoseconds(each), began_, timestamps.first(alike));
  if (alike < timestamps.size()) Tell(absl::OkStatus(), last, now - last, timestamps.last(1));
  return last;
}

void CallTimes::Tell(const absl::Status& status, absl::Duration each, absl::Time began,
                     absl::Span<const absl::Time> timestamps) {
  observer_->OnHandled(handler_, topic_, {status, each, began, timestamps});
}

}  // namespace messaging
