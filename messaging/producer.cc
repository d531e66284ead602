#include "messaging/producer.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/clock.h"
#include "messaging/internal/callback_thread.h"
#include "messaging/internal/complete_message.h"
#include "messaging/internal/send_budget.h"
#include "messaging/internal/send_deadlines.h"
#include "messaging/internal/send_join.h"
#include "messaging/log.h"
#include "messaging/observer.h"
#include "messaging/tracer.h"

namespace messaging {
namespace {

constexpr absl::Duration kLastFlush = absl::Seconds(1);
constexpr absl::Duration kLogPause = absl::Seconds(1);

// A refusal never has the code that means an unknown outcome.
absl::Status AsRefusal(absl::Status status) {
  if (!status.ok() && !IsUnknownOutcome(status)) return status;
  return absl::InternalError(absl::StrCat("not sent: ", status.ToString()));
}

}  // namespace

class Producer::Core final : public OutgoingObserver, public std::enable_shared_from_this<Core> {
 public:
  Core(Broker* broker, absl::Status refusal, ProducerOptions options, Observer* observer, Tracer* tracer)
      : broker_(broker),
        tracer_(tracer),
        refusal_(std::move(refusal)),
        options_(options),
        budget_(std::make_shared<internal::SendBudget>(options.max_messages, options.max_bytes)),
        observer_(observer) {}

  OutgoingPtr Send(Message&& message, absl::Status status, SendOptions&& options);
  absl::Status Flush(absl::Duration limit);
  size_t pending() const { return budget_->messages(); }
  void Close();
  void set_observer(Observer* observer) { observer_.store(observer, std::memory_order_release); }

  void OnResolved(Outgoing& outgoing) override;
  void AfterResolved(Outgoing& outgoing) override {
    if (outgoing.counted()) deadlines_.Forget(outgoing);
  }
  void Post(std::function<void()> task) override {
    budget_->AddCallback();
    callbacks_.Post([budget = budget_, task = std::move(task)] {
      task();
      budget->GiveCallback();
    });
  }
  void OnUnseen(const Outgoing& outgoing) override;

 private:
  absl::Status TakeRoom(const Outgoing& outgoing, bool wait);

  std::unique_ptr<Span> Trace(Message& message);

  Broker* const broker_;
  Tracer* const tracer_;
  const absl::Status refusal_;  // Where there is no broker: why.
  const ProducerOptions options_;
  const std::shared_ptr<internal::SendBudget> budget_;  // Shared with callbacks, which may end the producer.
  internal::SendDeadlines deadlines_;
  internal::CallbackThread callbacks_;
  std::atomic<Observer*> observer_;  // Null once closed: messages may outlive it.
  absl::Mutex log_mutex_;
  size_t unseen_ ABSL_GUARDED_BY(log_mutex_) = 0;  // Since the last line about them.
  absl::Time next_line_ ABSL_GUARDED_BY(log_mutex_) = absl::InfinitePast();
};

OutgoingPtr Producer::Core::Send(Message&& message, absl::Status status, SendOptions&& options) {
  internal::CompleteMessage(options, absl::Now(), message);
  if (status.ok()) status = broker_ == nullptr ? refusal_ : internal::CheckMessage(message);
  const absl::Time now = Clock::Steady().Now();
  const absl::Duration duration = options.deadline > absl::ZeroDuration() ? options.deadline : options_.deadline;
  std::unique_ptr<Span> span = Trace(message);
  auto outgoing = std::make_shared<Outgoing>(std::move(message), now + duration, shared_from_this(), now);
  if (span != nullptr) outgoing->set_span(std::move(span));
  if (Observer* observer = observer_.load(std::memory_order_acquire)) {
    observer->OnSent(outgoing->message().topic, outgoing->bytes());
  }
  if (!options.detached) {
    if (internal::SendJoin* join = internal::ScopedSendJoin::Current()) join->Add(outgoing);
  }
  if (status.ok()) status = TakeRoom(*outgoing, options.wait_for_room);
  if (!status.ok()) {
    outgoing->Complete(AsRefusal(std::move(status)));
    return outgoing;
  }
  outgoing->set_counted();
  deadlines_.Track(*outgoing);
  broker_->Publish(Outgoing::ForDriver(outgoing));
  return outgoing;
}

// Puts the message's context into its headers: of its own span, or else what it continues.
std::unique_ptr<Span> Producer::Core::Trace(Message& message) {
  internal::SendJoin* const join = internal::ScopedSendJoin::Current();
  if (tracer_ == nullptr && join == nullptr) return nullptr;
  const std::optional<TraceContext> given = TraceContextOf(message.headers);
  if (given && tracer_ == nullptr) return nullptr;
  const TraceContext* const parent = given ? &*given : join != nullptr ? join->Trace() : nullptr;
  if (tracer_ == nullptr) {
    if (parent != nullptr) SetTraceContext(*parent, message.headers);
    return nullptr;
  }
  const SpanAttribute attributes[] = {
      {"messaging.system", broker_ == nullptr ? std::string_view("none") : broker_->name()},
      {"messaging.destination.name", message.topic},
      {"messaging.operation.type", "send"},
      {"messaging.operation.name", "send"},
      {"messaging.message.id", message.id},
      {"messaging.message.body.size", static_cast<int64_t>(message.payload.size())}};
  const std::string name = absl::StrCat("send ", message.topic);
  std::unique_ptr<Span> span = tracer_->StartSpan(
      {.kind = SpanKind::kProducer, .name = name, .parent = parent, .links = {}, .attributes = attributes});
  if (span != nullptr) {
    SetTraceContext(span->context(), message.headers);
  } else if (parent != nullptr) {
    SetTraceContext(*parent, message.headers);
  }
  return span;
}

absl::Status Producer::Core::TakeRoom(const Outgoing& outgoing, bool wait) {
  const size_t bytes = outgoing.bytes();
  // A callback must not wait for itself.
  const bool behind_callbacks = !Outgoing::InCallback();
  const bool taken =
      wait ? budget_->TakeBy(bytes, outgoing.deadline(), behind_callbacks) : budget_->TryTake(bytes, behind_callbacks);
  if (taken) return absl::OkStatus();
  if (bytes > budget_->max_bytes()) {
    return absl::InvalidArgumentError(absl::StrCat("a message of ", bytes, " bytes is larger than the send buffer of ",
                                                   budget_->max_bytes(), " (ProducerOptions::max_bytes)"));
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "the send buffer is full", wait ? " until the deadline" : "", ": ", budget_->messages(), " messages, ",
      budget_->bytes(), " bytes await the broker's answer, ", budget_->callbacks(), " callbacks (Then) their turn"));
}

void Producer::Core::OnResolved(Outgoing& outgoing) {
  if (outgoing.counted()) budget_->Give(outgoing.bytes());
  if (Span* span = outgoing.span()) span->End(outgoing.result().status());
  if (Observer* observer = observer_.load(std::memory_order_acquire)) {
    observer->OnSendResolved(outgoing.message().topic, outgoing.result().status(),
                             Clock::Steady().Now() - outgoing.sent());
  }
}

void Producer::Core::OnUnseen(const Outgoing& outgoing) {
  const absl::Status& status = outgoing.result().status();
  if (Observer* observer = observer_.load(std::memory_order_acquire)) {
    observer->OnSendFailureUnseen(outgoing.message().topic, status);
  }
  size_t count;
  {
    absl::MutexLock lock(&log_mutex_);
    ++unseen_;
    const absl::Time now = Clock::Steady().Now();
    if (now < next_line_) return;
    next_line_ = now + kLogPause;
    count = std::exchange(unseen_, 0);
  }
  Log(Severity::kWarning, absl::StrCat(count, " failed send(s) whose Confirmation nobody looked at; the last, to ",
                                       outgoing.message().topic, ": ", status.ToString()));
}

absl::Status Producer::Core::Flush(absl::Duration limit) {
  const absl::Time end = Clock::Steady().Now() + limit;
  size_t open = 0;
  // The newest first: with the last answer the others mostly are there, and nobody is woken for each.
  std::vector<OutgoingPtr> sends = deadlines_.Open();
  for (; !sends.empty(); sends.pop_back()) {
    if (!sends.back()->WaitUntil(end)) ++open;
  }
  if (open == 0) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat(open, " message(s) not answered by the broker within ", absl::FormatDuration(limit)));
}

void Producer::Core::Close() {
  (void)Flush(kLastFlush);
  for (const OutgoingPtr& send : deadlines_.Open()) {
    send->Complete(absl::DeadlineExceededError(
        "the outcome is unknown: the producer ended before the broker's answer; the message may or may not be stored"));
  }
  deadlines_.Stop();
  callbacks_.Stop();
  observer_.store(nullptr, std::memory_order_release);
  absl::MutexLock lock(&log_mutex_);
  if (unseen_ == 0) return;
  Log(Severity::kWarning, absl::StrCat(unseen_, " more failed send(s) whose Confirmation nobody looked at"));
  unseen_ = 0;
}

Producer::Producer(Broker* broker, ProducerOptions options, Observer* observer, Tracer* tracer)
    : core_(std::make_shared<Core>(broker, absl::OkStatus(), options, observer, tracer)) {}
Producer::Producer(absl::Status why)
    : core_(std::make_shared<Core>(nullptr, std::move(why), ProducerOptions(), nullptr, nullptr)) {}
Producer::~Producer() { core_->Close(); }

Confirmation Producer::Send(Message message, SendOptions options) {
  return SendEncoded(std::move(message), absl::OkStatus(), std::move(options));
}

Confirmation Producer::SendEncoded(Message message, absl::Status encoded, SendOptions options) {
  return Confirmation(core_->Send(std::move(message), std::move(encoded), std::move(options)));
}

absl::Status Producer::Flush(absl::Duration limit) { return core_->Flush(limit); }
void Producer::set_observer(Observer* observer) { core_->set_observer(observer); }
size_t Producer::pending() const { return core_->pending(); }

}  // namespace messaging
