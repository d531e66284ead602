#include "messaging/outgoing.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "messaging/broker/clock.h"
#include "messaging/log.h"
#include "messaging/tracer.h"

namespace messaging {
namespace {

thread_local bool in_callback = false;

// User code: what it throws must not end the callback thread.
void RunCallback(const Outgoing::Callback& callback, const Outgoing::Result& result) {
  const bool outer = std::exchange(in_callback, true);
  try {
    callback(result);
  } catch (const std::exception& exception) {
    Log(Severity::kError, absl::StrCat("a Then callback threw: ", exception.what()));
  } catch (...) {
    Log(Severity::kError, "a Then callback threw something that is no std::exception");
  }
  in_callback = outer;
}

}  // namespace

Outgoing::Outgoing(Message&& message, absl::Time deadline, std::shared_ptr<OutgoingObserver> observer, absl::Time sent)
    : message_(std::move(message)),
      deadline_(deadline),
      sent_(sent),
      bytes_(message_.ByteSize()),
      observer_(std::move(observer)) {}

// Puts the counts of the driver's reference into the message itself, which it holds until they are gone.
template <typename T>
struct Outgoing::InPlace {
  using value_type = T;
  explicit InPlace(OutgoingPtr outgoing) : in(std::move(outgoing)) {}
  template <typename U>
  InPlace(const InPlace<U>& other) : in(other.in) {}
  T* allocate(size_t) {
    static_assert(sizeof(T) <= sizeof(in->driver_counts_) && alignof(T) <= alignof(std::max_align_t));
    return reinterpret_cast<T*>(in->driver_counts_);
  }
  void deallocate(T*, size_t) {}
  template <typename U>
  bool operator==(const InPlace<U>& other) const {
    return in == other.in;
  }
  OutgoingPtr in;
};

OutgoingPtr Outgoing::ForDriver(OutgoingPtr outgoing) {
  Outgoing* const raw = outgoing.get();
  return OutgoingPtr(
      raw, [](Outgoing* left) { left->LeftByDriver(); }, InPlace<Outgoing>(std::move(outgoing)));
}

void Outgoing::LeftByDriver() {
  if (!resolved()) Complete(absl::DeadlineExceededError("the outcome is unknown: the broker's driver gave no answer"));
  std::string().swap(message_.payload);
  std::vector<Header>().swap(message_.headers);
}

Outgoing::~Outgoing() {
  if (!resolved()) Complete(absl::DeadlineExceededError("the outcome is unknown: the broker's driver gave no answer"));
  if (!result_.ok() && !seen_.load(std::memory_order_relaxed) && observer_ != nullptr) observer_->OnUnseen(*this);
}

void Outgoing::set_span(std::unique_ptr<Span> span) { span_ = std::move(span); }

void Outgoing::Complete(Result result) {
  if (claimed_.exchange(true, std::memory_order_acq_rel)) return;
  result_ = std::move(result);
  if (observer_ != nullptr) observer_->OnResolved(*this);
  std::vector<Callback> callbacks;
  {
    absl::MutexLock lock(&mutex_);
    callbacks.swap(on_result_);
    resolved_.store(true, std::memory_order_release);
  }
  if (observer_ != nullptr) observer_->AfterResolved(*this);
  for (const Callback& callback : callbacks) callback(result_);
}

void Outgoing::CompleteAsOverdue() {
  if (resolved()) return;
  // Before the deadline when somebody gave up earlier: a program that ends.
  const absl::Duration waited = absl::Trunc(std::min(deadline_, Clock::Steady().Now()) - sent_, absl::Milliseconds(1));
  Complete(absl::DeadlineExceededError(
      absl::StrCat("the outcome is unknown: no answer from the broker",
                   sent_ == absl::InfinitePast() ? "" : absl::StrCat(" in ", absl::FormatDuration(waited)),
                   "; the message may or may not be stored")));
}

bool Outgoing::WaitUntil(absl::Time limit) {
  if (resolved()) return true;
  absl::MutexLock lock(&mutex_);
  auto is_resolved = [this] { return resolved(); };
  return mutex_.AwaitWithTimeout(absl::Condition(&is_resolved), limit - Clock::Steady().Now());
}

void Outgoing::Then(Callback callback) {
  OnResult([this, callback = std::move(callback)](const Result&) mutable {
    auto task = [result = ResultForUser(), callback = std::move(callback)] { RunCallback(callback, result); };
    if (observer_ != nullptr) return observer_->Post(std::move(task));
    task();
  });
}

void Outgoing::OnResult(Callback callback) {
  MarkSeen();
  {
    absl::MutexLock lock(&mutex_);
    if (!resolved()) {
      on_result_.push_back(std::move(callback));
      return;
    }
  }
  callback(result_);
}

Outgoing::Result Outgoing::ResultForUser() const {
  Result result = result_;
  if (result.ok() && result->id.empty()) result->id = message_.id;
  return result;
}

bool Outgoing::InCallback() { return in_callback; }

}  // namespace messaging
