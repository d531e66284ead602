// Workers, the calls they make, and what they give to the broker.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "messaging/dispatch/dispatcher_impl.h"
#include "messaging/log.h"
#include "messaging/log_fields.h"

namespace messaging {

void Dispatcher::Impl::RunWorker(Worker* self) {
  {
    LaneContext lane(options_);
    lane.scope = std::make_shared<Scope>(providers_, Lifetime::kLane, &process_scope_);
    absl::MutexLock lock(&mutex_);
    lanes_.push_back(&lane);
    absl::Time looked = absl::InfinitePast();
    while (state_ != State::kEnded) {
      if (!RunOnce(lane)) Rest(looked);
    }
    std::erase(lanes_, &lane);
  }
  absl::MutexLock lock(&mutex_);
  self->ended = true;
  progress_.SignalAll();
}

// Until there may be something to do. One of those that rest looks after the calls of the others.
void Dispatcher::Impl::Rest(absl::Time& looked) {
  const bool watches = !watched_ && engine_->MayBlock();
  if (watches && Now() - looked >= kLongCall) {
    looked = Now();
    UnblockAll();
    if (engine_->ready() > 0) return;
  }
  const absl::Time next = watches ? std::min(engine_->NextEvent(), looked + kLongCall) : engine_->NextEvent();
  watched_ = watched_ || watches;
  ++idle_;
  if (next == absl::InfiniteFuture()) {
    work_.Wait(&mutex_);
  } else {
    work_.WaitWithTimeout(&mutex_, std::max(next - Now(), absl::ZeroDuration()));
  }
  --idle_;
  if (watches) watched_ = false;
}

void Dispatcher::Impl::UnblockAll() {
  const absl::Time now = Now();
  for (LaneContext* lane : lanes_) {
    // A pause takes back what has not begun as soon as the worker comes to it.
    if (lane->work == nullptr || lane->gates != gates_.load(std::memory_order_relaxed)) continue;
    const std::pair<uint64_t, size_t> seen = {lane->work->id, lane->begun.load()};
    const size_t tasks = lane->work->tasks.size();
    if (std::exchange(lane->seen, seen) != seen || seen.second == 0 || seen.second > tasks) continue;
    // The worker may have gone on at this very moment: what it has begun by now is not taken from it.
    const size_t begun = lane->begun.exchange(tasks + 1);
    if (begun <= tasks) engine_->Unblock(*lane->work, *lane->outcomes, begun, now);
  }
  engine_->UnblockDeferred(now - kLongCall, now);
}

bool Dispatcher::Impl::RunOnce(LaneContext& lane) {
  if (!posted_.empty()) {
    std::function<void()> task = std::move(posted_.front());
    posted_.pop_front();
    mutex_.Unlock();
    task();
    mutex_.Lock();
    return true;
  }
  const absl::Time began = Now();
  std::optional<Engine::Work> work = engine_->Take(began);
  Orders orders = TakeOrders();
  if (!work && orders.empty()) return false;
  // One wakes the next, as far as there is work, or nobody watches.
  if (work && idle_ > 0 && (engine_->ready() > 0 || (!watched_ && engine_->MayBlock()))) work_.Signal();
  std::vector<Engine::Outcome> outcomes;
  if (work) {
    outcomes.resize(work->tasks.size());
    lane.begun.store(0, std::memory_order_relaxed);
    lane.gates = gates_.load(std::memory_order_relaxed);
    if (!handlers_[work->handler].is_batch) lane.work = &*work, lane.outcomes = &outcomes;
  }
  mutex_.Unlock();
  Give(std::move(orders));
  if (work) RunWork(*work, lane, outcomes);
  mutex_.Lock();
  lane.work = nullptr;
  if (work) {
    const absl::Time now = Now();
    engine_->Finish(*work, outcomes, now - began, now);
    orders = TakeOrders();
    if (!orders.empty()) {
      mutex_.Unlock();
      Give(std::move(orders));
      mutex_.Lock();
    }
    if (state_ != State::kRunning) progress_.SignalAll();
  }
  return true;
}

void Dispatcher::Impl::RunWork(const Engine::Work& work, LaneContext& lane, std::vector<Engine::Outcome>& outcomes) {
  const Handler& handler = handlers_[work.handler];
  const absl::Span<Engine::Task* const> tasks = work.tasks;
  if (handler.is_batch) return RunCall(handler, tasks, lane, absl::MakeSpan(outcomes));
  for (size_t i; (i = lane.begun.fetch_add(1)) < tasks.size();) {
    if (draining_.load(std::memory_order_relaxed)) {
      outcomes[i].status = absl::CancelledError("draining");  // It has not begun: back to the broker.
    } else if (gates_.load(std::memory_order_relaxed) != lane.gates) {
      outcomes[i].not_begun = true;
    } else if (handler.is_async) {
      outcomes[i] = RunAsync(handler, tasks[i], lane);
    } else {
      RunCall(handler, tasks.subspan(i, 1), lane, absl::MakeSpan(outcomes).subspan(i, 1));
    }
  }
  lane.times.Flush();
}

void Dispatcher::Impl::AddMessage(const Handler& handler, Engine::Task* task, CallFrame& frame) {
  const HandlerOptions& options = handler.options;
  const absl::Time deadline =
      options.timeout == absl::InfiniteDuration() ? absl::InfiniteFuture() : Now() + options.timeout;
  frame.Add(Received(task->record, options.group.empty() ? std::string_view(options_.group) : options.group,
                     handler.name, task->attempt, options.max_retries + 1, deadline));
}

void Dispatcher::Impl::RunCall(const Handler& handler, absl::Span<Engine::Task* const> tasks, LaneContext& lane,
                               absl::Span<Engine::Outcome> outcomes) {
  std::unique_ptr<CallFrame> frame = std::move(lane.spare);
  if (frame == nullptr) frame = std::make_unique<CallFrame>(providers_, lane.scope, producer_);
  for (Engine::Task* task : tasks) AddMessage(handler, task, *frame);
  if (options_.tracer != nullptr) frame->StartSpan(*options_.tracer, broker_.name());
  lane.times.Begin(handler.name, tasks[0]->record->topic);
  frame->Invoke(handler.invoke);
  const bool sent = !frame->join().empty();
  const bool told_later = sent || handler.is_batch || frame->scope().has_commits();
  if (told_later) frame->set_times(lane.times.Split());
  WarnIfLate(handler, *frame);
  if (sent && frame->AnyOk()) {
    // A transaction must not be committed before its sends are accepted, nor be shared with the worker's next call.
    // Else nothing of the user's runs any more, and the worker need not wait for the broker's answer.
    const bool wait = frame->scope().has_commits() || handler.is_batch || options_.concurrency == 0;
    if (!wait) {
      outcomes[0] = AwaitSends(handler, tasks[0], std::move(frame));
      return;
    }
    frame->JoinSends(frame->join().Wait());
  }
  frame->FinishScope();
  frame->EndSpan();
  if (told_later) {
    ObserveOutcome(handler, *frame);
  } else {
    lane.times.Ended(frame->verdicts()[0].status, tasks[0]->record->timestamp);
  }
  for (size_t i = 0; i < tasks.size(); ++i) {
    CallFrame::Verdict& verdict = frame->verdicts()[i];
    outcomes[i].status = std::move(verdict.status);
    outcomes[i].rejected = verdict.rejected;
  }
  if (sent) return;
  frame->Reset();
  lane.spare = std::move(frame);
}

Engine::Outcome Dispatcher::Impl::AwaitSends(const Handler& handler, Engine::Task* task,
                                             std::unique_ptr<CallFrame> frame) {
  const bool strict = handler.options.order == Order::kPerKeyStrict;
  frame->FinishScope();
  std::shared_ptr<CallFrame> shared = std::move(frame);
  shared->join().WhenAll([self = shared_from_this(), shared, task, strict](const absl::Status& sent) {
    shared->JoinSends(sent);
    self->CompleteLater(task, shared, strict);
  });
  return {.deferred = true, .keeps_lane = strict};
}

Engine::Outcome Dispatcher::Impl::RunAsync(const Handler& handler, Engine::Task* task, LaneContext& lane) {
  const absl::Time began = Now();
  auto frame = std::make_shared<CallFrame>(providers_, lane.scope, producer_);
  AddMessage(handler, task, *frame);
  if (options_.tracer != nullptr) frame->StartSpan(*options_.tracer, broker_.name());
  frame->LoadTrace();
  frame->set_finish([self = shared_from_this(), frame, task, began, &handler](absl::Status outcome) {
    frame->SetOutcome(0, std::move(outcome));
    frame->set_times({began, self->Now() - began});
    self->WarnIfLate(handler, *frame);
    frame->join().WhenAll([self, frame, task](const absl::Status& sent) {
      frame->JoinSends(sent);
      self->CompleteLater(task, frame, /*keeps_lane=*/true);
    });
  });
  frame->Invoke(handler.invoke);
  if (frame->deferred()) return {.deferred = true};
  frame->set_finish(nullptr);  // It holds the frame.
  frame->set_times({began, Now() - began});
  frame->FinishScope();
  frame->EndSpan();
  ObserveOutcome(handler, *frame);
  return {.status = frame->verdicts()[0].status, .rejected = frame->verdicts()[0].rejected};
}

// On a worker: the caller may be a driver's I/O thread or hold any lock.
void Dispatcher::Impl::CompleteLater(Engine::Task* task, std::shared_ptr<CallFrame> frame, bool keeps_lane) {
  Post([this, task, frame = std::move(frame), keeps_lane] {
    frame->FinishScope();  // Nothing where it has ended before.
    frame->EndSpan();
    ObserveOutcome(handlers_[task->handler], *frame);
    const CallFrame::Verdict& verdict = frame->verdicts()[0];
    Orders orders;
    {
      absl::MutexLock lock(&mutex_);
      engine_->Complete(task, {.status = verdict.status, .rejected = verdict.rejected, .keeps_lane = keeps_lane},
                        Now());
      orders = TakeOrders();
      WakeWorkers();
      if (state_ != State::kRunning) progress_.SignalAll();
    }
    Give(std::move(orders));
  });
}

void Dispatcher::Impl::Post(std::function<void()> task) {
  absl::MutexLock lock(&mutex_);
  if (state_ == State::kEnded) return;  // Its message was given back.
  posted_.push_back(std::move(task));
  work_.Signal();
}

Dispatcher::Impl::Orders Dispatcher::Impl::TakeOrders() {
  Orders orders{.settlements = engine_->TakeSettlements(), .gates = {}, .wake = engine_->TakeRoomsChanged()};
  if (!orders.wake) return orders;
  orders.gates = engine_->TakeGateChanges();
  std::fill(starved_.begin(), starved_.end(), 0);
  return orders;
}

void Dispatcher::Impl::Give(Orders orders) {
  for (auto& [subscription, batch] : orders.settlements) {
    NoteDeadLetters(batch);
    subscriptions_[subscription]->Settle(std::move(batch));
  }
  if (!orders.wake) return;
  for (const Engine::GateChange& change : orders.gates) NoteGate(change);
  for (const auto& subscription : subscriptions_) subscription->Wake();
}

// A breaker that tries and trips again has not changed.
void Dispatcher::Impl::NoteGate(const Engine::GateChange& change) {
  const std::string name = absl::StrCat("handler ", handlers_[change.handler].name);
  const LogFields fields{.handler = handlers_[change.handler].name};
  if (change.now == Gate::kPaused) return Log(Severity::kInfo, absl::StrCat(name, " is paused"), fields);
  if (change.now == Gate::kOpen) return Log(Severity::kInfo, absl::StrCat(name, " goes on"), fields);
  if (change.now != Gate::kTripped || change.before == Gate::kProbing) return;
  Log(Severity::kWarning,
      absl::StrCat(name, " pauses, as ", change.why, "; one message is tried every ",
                   absl::FormatDuration(handlers_[change.handler].options.breaker.probe_after)),
      fields);
}

void Dispatcher::Impl::NoteDeadLetters(const std::vector<Settlement>& batch) {
  for (const Settlement& settlement : batch) {
    if (settlement.copies == nullptr || settlement.refused) continue;
    for (const Copy& copy : *settlement.copies) {
      if (copy.kind != Copy::Kind::kDeadLetter) continue;
      size_t count;
      {
        absl::MutexLock lock(&log_mutex_);
        count = dead_.try_emplace(copy.failure.handler, kLinePause).first->second.Happened(Now());
      }
      if (count == 0) continue;
      const Received received(settlement.delivery.record(), "", copy.failure.handler, copy.failure.attempts, 0,
                              absl::InfiniteFuture());
      Log(Severity::kWarning,
          absl::StrCat(count, count == 1 ? " message goes" : " messages went",
                       " to the dead letters; the last, after attempt ", copy.failure.attempts, ": ",
                       copy.failure.status.ToString()),
          FieldsOf(received));
    }
  }
}

void Dispatcher::Impl::ObserveOutcome(const Handler& handler, CallFrame& frame) {
  if (options_.observer == nullptr) return;
  const absl::Span<const Received> messages = frame.messages();
  const auto [began, took] = frame.times();
  std::vector<absl::Time> timestamps;
  for (size_t i = 0; i < messages.size(); ++i) {
    const absl::Status& status = frame.verdicts()[i].status;
    timestamps.push_back(messages[i].timestamp());
    if (i + 1 < messages.size() && frame.verdicts()[i + 1].status == status &&
        messages[i + 1].topic() == messages[i].topic()) {
      continue;
    }
    options_.observer->OnHandled(handler.name, messages[i].topic(), {status, took, began, timestamps});
    timestamps.clear();
  }
}

void Dispatcher::Impl::WarnIfLate(const Handler& handler, CallFrame& frame) {
  if (handler.options.timeout == absl::InfiniteDuration()) return;
  const absl::Time now = Now();
  const absl::Duration late = now - frame.messages()[0].deadline();
  if (late <= absl::ZeroDuration()) return;
  size_t count;
  {
    absl::MutexLock lock(&log_mutex_);
    count = late_.try_emplace(handler.name, kLinePause).first->second.Happened(now);
  }
  if (count == 0) return;
  Log(Severity::kWarning,
      absl::StrCat("handler ", handler.name, " returned ", absl::FormatDuration(late), " after its deadline",
                   count > 1 ? absl::StrCat(", ", count, " times since the last line") : ""),
      FieldsOf(frame.messages()[0]));
}

}  // namespace messaging
