#include "messaging/testing/recorder.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "messaging/call.h"

namespace messaging::testing_internal {
namespace {

Message ToMessage(const Received& received) {
  Message message;
  message.topic = std::string(received.topic());
  message.payload = std::string(received.payload());
  message.null_payload = received.null_payload();
  if (received.key()) message.key = std::string(*received.key());
  for (const HeaderView& header : received.headers()) message.headers.emplace_back(header.name, header.value);
  message.content_type = std::string(received.content_type());
  message.id = std::string(received.id());
  message.timestamp = received.timestamp();
  return message;
}

// A call, its outcomes recorded on their way to the engine.
class RecordedCall : public Call {
 public:
  RecordedCall(std::shared_ptr<Recorder> recorder, Call& call, std::vector<int64_t> attempts)
      : recorder_(std::move(recorder)), call_(call), attempts_(std::move(attempts)) {}
  absl::Span<const Received> messages() const override { return call_.messages(); }
  Scope& scope() override { return call_.scope(); }
  Sender& sender() override { return call_.sender(); }
  void SetOutcome(size_t i, absl::Status outcome) override {
    recorder_->SetOutcome(attempts_[i], outcome);
    call_.SetOutcome(i, std::move(outcome));
  }
  void Reject(size_t i, absl::Status why) override {
    recorder_->SetOutcome(attempts_[i], why);
    call_.Reject(i, std::move(why));
  }
  Completion Defer() override {
    auto completion = std::make_shared<Completion>(call_.Defer());
    return Completion([completion, recorder = recorder_, attempt = attempts_[0]](absl::Status outcome) {
      recorder->SetOutcome(attempt, outcome);
      (*completion)(std::move(outcome));
    });
  }

 private:
  const std::shared_ptr<Recorder> recorder_;
  Call& call_;
  const std::vector<int64_t> attempts_;
};

class RecordedSubscription : public Subscription {
 public:
  RecordedSubscription(Recorder* recorder, std::shared_ptr<Subscription> to)
      : recorder_(recorder), to_(std::move(to)) {}
  absl::Status Start() override { return to_->Start(); }
  void Settle(std::vector<Settlement> batch) override {
    for (const Settlement& settlement : batch) recorder_->OnSettle(settlement);
    to_->Settle(std::move(batch));
  }
  void Wake() override { to_->Wake(); }
  void StopFetching() override { to_->StopFetching(); }
  absl::Status Close(absl::Time deadline) override { return to_->Close(deadline); }
  absl::StatusOr<int64_t> Backlog() override { return to_->Backlog(); }
  void Drop(Record* record) override { to_->Drop(record); }

 private:
  Recorder* const recorder_;
  const std::shared_ptr<Subscription> to_;
};

class RecordedBroker : public Broker {
 public:
  RecordedBroker(Recorder* recorder, Broker& to) : recorder_(recorder), to_(to) {}
  std::string_view name() const override { return to_.name(); }
  const Capabilities& capabilities() const override { return to_.capabilities(); }
  void Publish(OutgoingPtr message) override { to_.Publish(std::move(message)); }
  absl::StatusOr<std::shared_ptr<Subscription>> Subscribe(SubscribeOptions options, DeliverySink* sink) override {
    absl::StatusOr<std::shared_ptr<Subscription>> made = to_.Subscribe(std::move(options), sink);
    if (!made.ok()) return made;
    return std::make_shared<RecordedSubscription>(recorder_, *std::move(made));
  }
  DeadLetters& dead_letters() override { return to_.dead_letters(); }
  absl::Status Ping(absl::Duration limit) override { return to_.Ping(limit); }

 private:
  Recorder* const recorder_;
  Broker& to_;
};

}  // namespace

Handler Recorder::Wrap(Handler handler) {
  {
    absl::MutexLock lock(&mutex_);
    former_names_[handler.name] = handler.options.formerly;
  }
  const bool strict = handler.options.order == Order::kPerKeyStrict;
  handler.invoke = [recorder = shared_from_this(), name = handler.name, strict,
                    invoke = std::move(handler.invoke)](Call& call) {
    std::vector<int64_t> attempts;
    for (const Received& received : call.messages()) attempts.push_back(recorder->Begin(name, strict, received));
    RecordedCall recorded(recorder, call, std::move(attempts));
    invoke(recorded);
  };
  return handler;
}

std::unique_ptr<Broker> Recorder::Wrap(Broker& broker) { return std::make_unique<RecordedBroker>(this, broker); }

int64_t Recorder::Begin(const std::string& handler, bool strict, const Received& received) {
  Attempt attempt{.event = {.topic = std::string(received.topic()),
                            .handler = handler,
                            .message = ToMessage(received),
                            .attempts = received.attempt()},
                  .strict = strict};
  absl::MutexLock lock(&mutex_);
  std::erase_if(open_, [&](const auto& before) {  // The same attempt again: that one did not count.
    const HarnessEvent& event = before.second.event;
    return event.handler == handler && event.attempts == attempt.event.attempts && !event.status.ok() &&
           event.message.id == attempt.event.message.id && event.topic == attempt.event.topic;
  });
  if (strict) {  // The attempt before, of the same delivery, has no other end.
    for (auto before = open_.begin(); before != open_.end(); ++before) {
      const HarnessEvent& event = before->second.event;
      if (before->second.retried && event.handler == handler && event.message.id == attempt.event.message.id) {
        open_.erase(before);
        break;
      }
    }
  }
  open_[next_] = std::move(attempt);
  return next_++;
}

void Recorder::SetOutcome(int64_t attempt, const absl::Status& outcome) {
  absl::MutexLock lock(&mutex_);
  if (auto found = open_.find(attempt); found != open_.end()) found->second.event.status = outcome;
}

bool Recorder::IsFor(const Record& record, const std::string& handler) const {
  if (record.handler.empty() || record.handler == handler) return true;
  const std::vector<std::string>& former = former_names_.at(handler);
  return std::find(former.begin(), former.end(), record.handler) != former.end();
}

void Recorder::OnSettle(const Settlement& settlement) {
  if (settlement.verdict == Settlement::Verdict::kBegin) return;
  const Record& record = *settlement.delivery.record();
  absl::MutexLock lock(&mutex_);
  std::set<std::string> ended;  // The oldest attempt of each handler: settling keeps the order of the calls.
  for (auto it = open_.begin(); it != open_.end();) {
    HarnessEvent& event = it->second.event;
    const bool ends = event.topic == record.topic && event.message.id == record.id && IsFor(record, event.handler) &&
                      ended.insert(event.handler).second;
    if (!ends) {
      ++it;
      continue;
    }
    const Copy* copy = nullptr;
    if (settlement.copies != nullptr) {
      for (const Copy& candidate : *settlement.copies) {
        if (candidate.failure.handler == event.handler) copy = &candidate;
      }
    }
    if (settlement.verdict == Settlement::Verdict::kAck && copy == nullptr) {
      event.status = absl::OkStatus();
      handled_.push_back(std::move(event));
    } else if (copy != nullptr && copy->kind == Copy::Kind::kRetry) {
      event.status = copy->failure.status;
      event.delay = copy->delay;
      retried_.push_back(std::move(event));
    }
    it = open_.erase(it);
  }
}

void Recorder::OnRetry(std::string_view handler, std::string_view topic, int attempts, absl::Duration delay) {
  absl::MutexLock lock(&mutex_);
  for (const bool failed_itself : {true, false}) {  // Else its commit or its sends did.
    for (auto& [number, attempt] : open_) {
      HarnessEvent& event = attempt.event;
      if (!attempt.strict || attempt.retried || event.handler != handler || event.topic != topic ||
          event.attempts != attempts || event.status.ok() == failed_itself) {
        continue;
      }
      attempt.retried = true;
      retried_.push_back(event);
      retried_.back().delay = delay;
      if (!failed_itself) retried_.back().status = absl::UnknownError("its commit or its sends failed");
      return;
    }
  }
}

std::vector<HarnessEvent> Recorder::handled() const {
  absl::MutexLock lock(&mutex_);
  return handled_;
}

std::vector<HarnessEvent> Recorder::retried() const {
  absl::MutexLock lock(&mutex_);
  return retried_;
}

}  // namespace messaging::testing_internal
