#include "messaging/dispatch/call_frame.h"

#include <exception>

#include "absl/strings/str_cat.h"

namespace messaging {

Sender& CallFrame::sender() {
  LoadTrace();  // It may be used on any thread; a message's metadata may not.
  if (!sender_) sender_.emplace(producer_, join_);
  return *sender_;
}

Completion CallFrame::Defer() {
  deferred_ = true;
  deferral_ = std::make_shared<Deferral>();
  {
    absl::MutexLock lock(&deferral_->mutex);
    deferral_->finish = std::move(finish_);
  }
  return Completion([deferral = deferral_](absl::Status outcome) {
    Completion::Finish finish;
    {
      absl::MutexLock lock(&deferral->mutex);
      if (!deferral->returned) {
        deferral->early = std::move(outcome);
        return;
      }
      finish = std::move(deferral->finish);
    }
    finish(std::move(outcome));
  });
}

// The handler has, with or without its completion having been called.
void CallFrame::Returned(const absl::Status& thrown) {
  Completion::Finish finish;
  absl::Status outcome;
  {
    absl::MutexLock lock(&deferral_->mutex);
    deferral_->returned = true;
    if (!deferral_->early) return;
    outcome = *std::move(deferral_->early);
    finish = std::move(deferral_->finish);
  }
  if (!thrown.ok() && outcome == UncalledCompletion()) outcome = thrown;  // It was destroyed by that.
  finish(std::move(outcome));
}

void CallFrame::Invoke(const std::function<void(Call&)>& handler) {
  absl::Status thrown;
  {
    internal::ScopedSendJoin joined(&join_);
    if (span_ != nullptr) span_->Enter();
    Span* const entered = span_.get();  // An asynchronous handler may end it meanwhile, not destroy it.
    try {
      handler(*this);
    } catch (const std::exception& exception) {
      thrown = absl::UnknownError(absl::StrCat("the handler threw: ", exception.what()));
    } catch (...) {
      thrown = absl::UnknownError("the handler threw something that is no std::exception");
    }
    if (entered != nullptr) entered->Leave();
  }
  if (deferred_) return Returned(thrown);
  for (Verdict& verdict : verdicts_) {
    if (!thrown.ok() && !verdict.rejected) {
      verdict = {thrown, false, true};
    } else if (!verdict.given) {
      verdict = {absl::InternalError("the handler gave this message no outcome"), false, true};
    }
  }
}

void CallFrame::StartSpan(Tracer& tracer, std::string_view system) {
  const Received& first = received_.front();
  const bool single = received_.size() == 1;
  std::vector<TraceContext> links;
  std::optional<TraceContext> parent;
  if (single) {
    parent = TraceContextOf(first);
  } else {
    for (const Received& received : received_) {
      if (std::optional<TraceContext> context = TraceContextOf(received)) links.push_back(*std::move(context));
    }
  }
  const std::string name = absl::StrCat("process ", first.topic());
  std::vector<SpanAttribute> attributes = {{"messaging.system", system},
                                           {"messaging.destination.name", first.topic()},
                                           {"messaging.operation.type", "process"},
                                           {"messaging.operation.name", "process"},
                                           {"messaging.consumer.group.name", first.group()},
                                           {"code.function.name", first.handler()}};
  const std::string partition = absl::StrCat(first.partition());
  if (single) {
    attributes.push_back({"messaging.message.id", first.id()});
    attributes.push_back({"messaging.message.body.size", static_cast<int64_t>(first.payload().size())});
    attributes.push_back({"messaging.message.attempt", first.attempt()});
    if (first.partition() >= 0) attributes.push_back({"messaging.destination.partition.id", partition});
  } else {
    attributes.push_back({"messaging.batch.message_count", static_cast<int64_t>(received_.size())});
  }
  span_ = tracer.StartSpan({.kind = SpanKind::kConsumer,
                            .name = name,
                            .parent = parent ? &*parent : nullptr,
                            .links = links,
                            .attributes = attributes});
}

void CallFrame::EndSpan() {
  if (span_ == nullptr) return;
  absl::Status status;
  for (const Verdict& verdict : verdicts_) status.Update(verdict.status);
  std::exchange(span_, nullptr)->End(status);
}

const TraceContext* CallFrame::Trace() {
  if (!trace_known_) {
    trace_known_ = true;
    trace_.reset();
    if (span_ != nullptr) {
      trace_ = span_->context();
    } else if (received_.size() == 1) {
      trace_ = TraceContextOf(received_.front());
    }
  }
  return trace_ ? &*trace_ : nullptr;
}

void CallFrame::FailOk(const absl::Status& why) {
  for (Verdict& verdict : verdicts_) {
    if (verdict.status.ok()) verdict.status = why;
  }
}

void CallFrame::JoinSends(const absl::Status& sent) {
  // Whatever the broker's code was, it says nothing about the handled message: the attempt may be repeated.
  if (!sent.ok()) FailOk(absl::AbortedError(absl::StrCat("a message sent by the handler: ", sent.ToString())));
}

bool CallFrame::AnyOk() const {
  for (const Verdict& verdict : verdicts_) {
    if (verdict.status.ok()) return true;
  }
  return false;
}

void CallFrame::FinishScope() {
  const bool commit = AnyOk();
  absl::Status finished;
  try {
    finished = scope_.Finish(commit);
  } catch (const std::exception& exception) {
    finished = absl::UnknownError(absl::StrCat("commit threw: ", exception.what()));
  }
  if (commit && !finished.ok()) FailOk(finished);
}

}  // namespace messaging
