#include "messaging/dispatch/dispatcher.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "messaging/dispatch/call_frame.h"
#include "messaging/dispatch/engine.h"
#include "messaging/dispatch/plan.h"
#include "messaging/log.h"

namespace messaging {

namespace {

// A call that runs for longer keeps nothing waiting but its own key.
constexpr absl::Duration kLongCall = absl::Milliseconds(20);

}  // namespace

class Dispatcher::Impl : public std::enable_shared_from_this<Dispatcher::Impl> {
 public:
  Impl(Broker& broker, Producer& producer, const Providers& providers, std::vector<Handler> handlers,
       DispatcherOptions options)
      : broker_(broker),
        producer_(producer),
        providers_(providers),
        handlers_(std::move(handlers)),
        options_(std::move(options)),
        process_scope_(providers, Lifetime::kProcess, nullptr) {}

  absl::Status Start() {
    {
      absl::MutexLock lock(&mutex_);
      if (state_ != State::kNew || starting_) return absl::FailedPreconditionError("this consumer was started before");
      starting_ = true;
    }
    absl::Status status = StartAll();
    absl::MutexLock lock(&mutex_);
    starting_ = false;
    progress_.SignalAll();
    return status;
  }
  absl::Status Wait();
  absl::Status Stop();
  bool RunReady();
  absl::Time NextEvent() const {
    absl::MutexLock lock(&mutex_);
    return engine_ == nullptr ? absl::InfiniteFuture() : engine_->NextEvent();
  }
  size_t in_flight() const {
    absl::MutexLock lock(&mutex_);
    return engine_ == nullptr ? 0 : engine_->in_hand();
  }
  Progress progress() const;
  bool draining() const { return draining_.load(); }
  absl::StatusOr<int64_t> Backlog();

 private:
  using Settlements = std::vector<std::pair<int, std::vector<Settlement>>>;
  enum class State { kNew, kRunning, kStopping, kEnded };

  // One subscription's way in.
  class Sink : public DeliverySink {
   public:
    Sink(Impl* impl, int index) : impl_(impl), index_(index) {}
    void Deliver(std::vector<Delivery> batch) override { impl_->OnDeliver(index_, std::move(batch)); }
    void Settled(std::vector<Settlement> batch) override { impl_->OnSettled(index_, std::move(batch)); }
    Room room() const override { return impl_->RoomFor(index_); }
    void Withdraw(std::function<bool(const Record&)> which) override { impl_->OnWithdraw(index_, which); }
    void Revoke(std::function<bool(const Record&)> which) override { impl_->OnRevoke(index_, which); }
    void Fail(absl::Status why) override { impl_->OnFail(std::move(why)); }

   private:
    Impl* const impl_;
    const int index_;
  };
  struct Worker {
    std::thread thread;
    bool ended = false;
  };
  // What belongs to one worker.
  struct LaneContext {
    std::shared_ptr<Scope> scope;
    std::unique_ptr<CallFrame> spare;  // For the next call: a frame costs allocations.
    // Its calls, one after the other, while Engine::Unblock may take from them (under the lock) those that have not
    // begun.
    Engine::Work* work = nullptr;
    std::vector<Engine::Outcome>* outcomes = nullptr;
    std::atomic<size_t> begun{0};      // Past the number of tasks: none is left.
    std::pair<uint64_t, size_t> seen;  // Work and `begun` at the last look.
  };

  absl::Status StartAll();
  void OnDeliver(int subscription, std::vector<Delivery> batch);
  void OnSettled(int subscription, std::vector<Settlement> batch);
  Room RoomFor(int subscription);
  void OnWithdraw(int subscription, const std::function<bool(const Record&)>& which);
  void OnRevoke(int subscription, const std::function<bool(const Record&)>& which);
  void OnFail(absl::Status why);

  void RunWorker(Worker* self);
  // One round of a worker: true when there was something to do. Unlocks in between.
  bool RunOnce(LaneContext& lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Rest(absl::Time& looked) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void UnblockAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RunWork(const Engine::Work& work, LaneContext& lane, std::vector<Engine::Outcome>& outcomes);
  void RunCall(const Handler& handler, absl::Span<Engine::Task* const> tasks, LaneContext& lane,
               absl::Span<Engine::Outcome> outcomes);
  Engine::Outcome RunAsync(const Handler& handler, Engine::Task* task, LaneContext& lane);
  Engine::Outcome AwaitSends(const Handler& handler, Engine::Task* task, std::unique_ptr<CallFrame> frame);
  void AddMessage(const Handler& handler, Engine::Task* task, CallFrame& frame);
  void CompleteLater(Engine::Task* task, std::shared_ptr<CallFrame> frame, bool keeps_lane);
  void Post(std::function<void()> task);
  void GiveVerdicts(Settlements settlements);
  Settlements TakeVerdicts() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return engine_->TakeSettlements(); }
  void WakeWorkers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Observe(const Handler& handler, CallFrame& frame, absl::Time began);
  void WarnIfLate(const Handler& handler, CallFrame& frame);
  absl::Status DrainUntil(absl::Time deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Time Now() const { return options_.clock->Now(); }

  Broker& broker_;
  Producer& producer_;
  const Providers& providers_;
  const std::vector<Handler> handlers_;
  const DispatcherOptions options_;
  Scope process_scope_;

  mutable absl::Mutex mutex_;
  absl::CondVar work_;      // Workers wait here.
  absl::CondVar progress_;  // Stop and Wait wait here.
  State state_ ABSL_GUARDED_BY(mutex_) = State::kNew;
  bool starting_ ABSL_GUARDED_BY(mutex_) = false;  // Stop waits for it.
  bool joined_ ABSL_GUARDED_BY(mutex_) = false;    // Start has returned OK.
  std::unique_ptr<Engine> engine_ ABSL_PT_GUARDED_BY(mutex_);
  std::deque<std::function<void()>> posted_ ABSL_GUARDED_BY(mutex_);
  std::vector<char> starved_ ABSL_GUARDED_BY(mutex_);  // Subscriptions that were told of no room.
  int idle_ ABSL_GUARDED_BY(mutex_) = 0;
  bool watched_ ABSL_GUARDED_BY(mutex_) = false;  // An idle worker looks for calls that take long.
  std::vector<LaneContext*> lanes_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Worker>> workers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Worker>> stuck_ ABSL_GUARDED_BY(mutex_);  // In handlers that did not return.
  std::atomic<bool> draining_{false};  // As the engine knows it, for workers without the lock.
  LaneContext inline_lane_;
  std::vector<std::unique_ptr<Sink>> sinks_;
  std::vector<std::shared_ptr<Subscription>> subscriptions_;  // Set before any worker runs.
};

absl::Status Dispatcher::Impl::StartAll() {
  if (absl::Status checked = CheckHandlers(handlers_, providers_); !checked.ok()) return checked;
  std::vector<std::string> groups;
  std::vector<EngineHandler> engine_handlers = PlanHandlers(handlers_, options_.group, groups);
  const int count = static_cast<int>(groups.size());
  {
    absl::MutexLock lock(&mutex_);
    const EngineLimits limits{options_.max_messages, options_.max_bytes, std::max(1, options_.concurrency)};
    const uint64_t seed = options_.seed != 0 ? options_.seed : absl::Uniform<uint64_t>(absl::BitGen());
    engine_ = std::make_unique<Engine>(std::move(engine_handlers), count, limits, seed, options_.observer);
    starved_.assign(groups.size(), 0);
    state_ = State::kRunning;
  }
  for (int i = 0; i < count; ++i) {
    sinks_.push_back(std::make_unique<Sink>(this, i));
    auto subscription = broker_.Subscribe(PlanSubscription(handlers_, options_.group, groups[i], options_.start_at),
                                          sinks_.back().get());
    if (!subscription.ok()) return subscription.status();
    subscriptions_.push_back(*std::move(subscription));
  }
  inline_lane_.scope = std::make_shared<Scope>(providers_, Lifetime::kLane, &process_scope_);
  {
    absl::MutexLock lock(&mutex_);
    for (int i = 0; i < options_.concurrency; ++i) {
      workers_.push_back(std::make_unique<Worker>());
      Worker* worker = workers_.back().get();
      worker->thread = std::thread([self = shared_from_this(), worker] { self->RunWorker(worker); });
    }
  }
  for (const auto& subscription : subscriptions_) {
    if (absl::Status started = subscription->Start(); !started.ok()) return started;
  }
  absl::MutexLock lock(&mutex_);
  joined_ = true;
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Dispatcher::Impl::Backlog() {
  {
    absl::MutexLock lock(&mutex_);
    if (!joined_) return absl::FailedPreconditionError("the consumer was not started");
  }
  int64_t sum = 0;
  for (const auto& subscription : subscriptions_) {
    const absl::StatusOr<int64_t> backlog = subscription->Backlog();
    if (!backlog.ok()) return backlog;
    sum += *backlog;
  }
  return sum;
}

Progress Dispatcher::Impl::progress() const {
  absl::MutexLock lock(&mutex_);
  Progress progress;
  switch (state_) {
    case State::kNew:
      return progress;
    case State::kRunning:
      progress.phase = failure_.ok() ? Progress::Phase::kConsuming : Progress::Phase::kFailed;
      break;
    case State::kStopping:
      progress.phase = Progress::Phase::kDraining;
      break;
    case State::kEnded:
      progress.phase = failure_.ok() ? Progress::Phase::kEnded : Progress::Phase::kFailed;
      break;
  }
  if (!joined_ && progress.phase == Progress::Phase::kConsuming) progress.phase = Progress::Phase::kNew;
  progress.failure = failure_;
  progress.messages = engine_->in_hand();
  progress.bytes = engine_->bytes_in_hand();
  progress.handlers = engine_->Progress(Now());
  for (size_t i = 0; i < handlers_.size(); ++i) {
    const std::string& group = handlers_[i].options.group;
    progress.handlers[i].group = group.empty() ? options_.group : group;
  }
  return progress;
}

absl::Status Dispatcher::Impl::Wait() {
  absl::MutexLock lock(&mutex_);
  while (state_ == State::kRunning && failure_.ok()) progress_.Wait(&mutex_);
  return failure_;
}

absl::Status Dispatcher::Impl::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    while (state_ == State::kStopping || starting_) progress_.Wait(&mutex_);
    if (state_ != State::kRunning) return absl::OkStatus();
    state_ = State::kStopping;
  }
  const absl::Time deadline = Now() + options_.drain_timeout;
  for (const auto& subscription : subscriptions_) subscription->StopFetching();
  absl::Status drained;
  std::vector<std::unique_ptr<Worker>> workers;
  {
    absl::MutexLock lock(&mutex_);
    draining_ = true;
    engine_->Drain(Now());
    drained = DrainUntil(deadline);
    if (engine_->in_hand() > 0) engine_->Abandon();
    state_ = State::kEnded;
    work_.SignalAll();
    progress_.SignalAll();
    workers = std::move(workers_);
    // A worker that does not end is in a handler that does not return: it keeps this object alive.
    for (auto& worker : workers) {
      const absl::Time patience = drained.ok() ? absl::InfiniteFuture() : absl::Now() + absl::Milliseconds(200);
      while (!worker->ended && !progress_.WaitWithDeadline(&mutex_, patience)) {
      }
      if (!worker->ended) {
        worker->thread.detach();
        stuck_.push_back(std::move(worker));  // Its thread still writes to it, and keeps this object.
      }
    }
  }
  for (auto& worker : workers) {
    if (worker != nullptr && worker->thread.joinable()) worker->thread.join();
  }
  const absl::Time close_by = std::max(deadline, Now() + absl::Seconds(5));
  for (const auto& subscription : subscriptions_) {
    if (absl::Status closed = subscription->Close(close_by); !closed.ok() && drained.ok()) drained = closed;
  }
  return drained;
}

// Until nothing is in hand: what began ends and is settled, what did not is released.
absl::Status Dispatcher::Impl::DrainUntil(absl::Time deadline) {
  while (true) {
    Settlements settlements = TakeVerdicts();
    if (!settlements.empty()) {
      mutex_.Unlock();
      GiveVerdicts(std::move(settlements));
      mutex_.Lock();
      continue;
    }
    if (engine_->in_hand() == 0) return absl::OkStatus();
    const absl::Time now = Now();
    if (now >= deadline) break;
    if (options_.concurrency == 0) {
      if (!RunOnce(inline_lane_)) break;  // Nobody else will make progress.
      continue;
    }
    work_.SignalAll();
    progress_.WaitWithTimeout(&mutex_, std::min(deadline - now, absl::Milliseconds(100)));
  }
  const std::vector<std::string> names = engine_->RunningHandlers();
  if (names.empty()) {
    return absl::DeadlineExceededError(absl::StrCat(engine_->in_hand(), " messages could not be settled within ",
                                                    absl::FormatDuration(options_.drain_timeout),
                                                    ": they will be delivered again"));
  }
  return absl::DeadlineExceededError(absl::StrCat(
      "did not return within ", absl::FormatDuration(options_.drain_timeout), ": ", absl::StrJoin(names, ", ")));
}

void Dispatcher::Impl::OnDeliver(int subscription, std::vector<Delivery> batch) {
  if (batch.empty()) return;
  if (options_.observer != nullptr) {
    for (const Delivery& delivery : batch) {
      options_.observer->OnReceived(delivery.record()->topic, 1, delivery.record()->ByteSize());
    }
  }
  Settlements settlements;
  {
    absl::MutexLock lock(&mutex_);
    engine_->Offer(subscription, std::move(batch), Now());
    if (options_.observer != nullptr) options_.observer->OnInFlight(engine_->in_hand(), engine_->bytes_in_hand());
    settlements = TakeVerdicts();
    WakeWorkers();
  }
  GiveVerdicts(std::move(settlements));
}

void Dispatcher::Impl::OnSettled(int subscription, std::vector<Settlement> batch) {
  for (const Settlement& settlement : batch) {
    if (settlement.status.ok() || absl::IsCancelled(settlement.status)) continue;
    Log(Severity::kWarning,
        absl::StrCat("a message could not be settled and will be again: ", settlement.status.ToString()));
    break;
  }
  std::vector<int> wake;
  Settlements next;
  {
    absl::MutexLock lock(&mutex_);
    engine_->Settled(subscription, std::move(batch), Now());
    // A held retry whose time came while its failure was being noted asks for its next attempt at once: no worker may
    // come by.
    next = TakeVerdicts();
    if (options_.observer != nullptr) options_.observer->OnInFlight(engine_->in_hand(), engine_->bytes_in_hand());
    for (size_t i = 0; i < starved_.size(); ++i) {
      // A quarter of the budget, so that a subscription is not woken for each message.
      if (starved_[i] != 0 && engine_->in_hand() <= options_.max_messages * 3 / 4 &&
          engine_->bytes_in_hand() <= options_.max_bytes / 4 * 3) {
        starved_[i] = 0;
        wake.push_back(static_cast<int>(i));
      }
    }
    if (state_ != State::kRunning) progress_.SignalAll();
    WakeWorkers();
  }
  GiveVerdicts(std::move(next));
  for (int i : wake) subscriptions_[i]->Wake();
}

Room Dispatcher::Impl::RoomFor(int subscription) {
  absl::MutexLock lock(&mutex_);
  const Room room = state_ == State::kRunning ? engine_->room(subscription) : Room{};
  if (room.messages == 0 || room.bytes == 0) starved_[subscription] = 1;
  return room;
}

void Dispatcher::Impl::OnWithdraw(int subscription, const std::function<bool(const Record&)>& which) {
  Settlements settlements;
  {
    absl::MutexLock lock(&mutex_);
    engine_->Withdraw(subscription, which, Now());
    settlements = TakeVerdicts();
    WakeWorkers();
  }
  GiveVerdicts(std::move(settlements));
}

void Dispatcher::Impl::OnRevoke(int subscription, const std::function<bool(const Record&)>& which) {
  absl::MutexLock lock(&mutex_);
  engine_->Revoke(subscription, which);
}

void Dispatcher::Impl::OnFail(absl::Status why) {
  absl::MutexLock lock(&mutex_);
  if (failure_.ok()) failure_ = std::move(why);
  progress_.SignalAll();
}

void Dispatcher::Impl::WakeWorkers() {
  if (idle_ == 0) return;
  const bool timer = engine_->NextEvent() != absl::InfiniteFuture();
  const bool watch = !watched_ && engine_->MayBlock();
  if (engine_->ready() > 0 || !posted_.empty() || timer || watch) work_.Signal();
}

void Dispatcher::Impl::RunWorker(Worker* self) {
  {
    LaneContext lane;
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
    if (lane->work == nullptr) continue;
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
  Settlements settlements = TakeVerdicts();
  if (!work && settlements.empty()) return false;
  // One wakes the next, as far as there is work, or nobody watches.
  if (work && idle_ > 0 && (engine_->ready() > 0 || (!watched_ && engine_->MayBlock()))) work_.Signal();
  std::vector<Engine::Outcome> outcomes;
  if (work) {
    outcomes.resize(work->tasks.size());
    lane.begun.store(0, std::memory_order_relaxed);
    if (!handlers_[work->handler].is_batch) lane.work = &*work, lane.outcomes = &outcomes;
  }
  mutex_.Unlock();
  GiveVerdicts(std::move(settlements));
  if (work) RunWork(*work, lane, outcomes);
  mutex_.Lock();
  lane.work = nullptr;
  if (work) {
    const absl::Time now = Now();
    engine_->Finish(*work, outcomes, now - began, now);
    settlements = TakeVerdicts();
    if (!settlements.empty()) {
      mutex_.Unlock();
      GiveVerdicts(std::move(settlements));
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
    } else if (handler.is_async) {
      outcomes[i] = RunAsync(handler, tasks[i], lane);
    } else {
      RunCall(handler, tasks.subspan(i, 1), lane, absl::MakeSpan(outcomes).subspan(i, 1));
    }
  }
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
  const absl::Time began = options_.observer != nullptr ? Now() : absl::InfinitePast();
  std::unique_ptr<CallFrame> frame = std::move(lane.spare);
  if (frame == nullptr) frame = std::make_unique<CallFrame>(providers_, lane.scope, producer_);
  for (Engine::Task* task : tasks) AddMessage(handler, task, *frame);
  frame->Invoke(handler.invoke);
  Observe(handler, *frame, began);
  WarnIfLate(handler, *frame);
  const bool sent = !frame->join().empty();
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
  frame->set_finish([self = shared_from_this(), frame, task, began, &handler](absl::Status outcome) {
    frame->SetOutcome(0, std::move(outcome));
    self->WarnIfLate(handler, *frame);
    self->Observe(handler, *frame, began);
    frame->join().WhenAll([self, frame, task](const absl::Status& sent) {
      frame->JoinSends(sent);
      self->CompleteLater(task, frame, /*keeps_lane=*/true);
    });
  });
  frame->Invoke(handler.invoke);
  if (frame->deferred()) return {.deferred = true};
  frame->set_finish(nullptr);  // It holds the frame.
  Observe(handler, *frame, began);
  frame->FinishScope();
  return {.status = frame->verdicts()[0].status, .rejected = frame->verdicts()[0].rejected};
}

// On a worker: the caller may be a driver's I/O thread or hold any lock.
void Dispatcher::Impl::CompleteLater(Engine::Task* task, std::shared_ptr<CallFrame> frame, bool keeps_lane) {
  Post([this, task, frame = std::move(frame), keeps_lane] {
    frame->FinishScope();  // Nothing where it has ended before.
    const CallFrame::Verdict& verdict = frame->verdicts()[0];
    Settlements settlements;
    {
      absl::MutexLock lock(&mutex_);
      engine_->Complete(task, {.status = verdict.status, .rejected = verdict.rejected, .keeps_lane = keeps_lane},
                        Now());
      settlements = TakeVerdicts();
      WakeWorkers();
      if (state_ != State::kRunning) progress_.SignalAll();
    }
    GiveVerdicts(std::move(settlements));
  });
}

void Dispatcher::Impl::Post(std::function<void()> task) {
  absl::MutexLock lock(&mutex_);
  if (state_ == State::kEnded) return;  // Its message was given back.
  posted_.push_back(std::move(task));
  work_.Signal();
}

void Dispatcher::Impl::GiveVerdicts(Settlements settlements) {
  for (auto& [subscription, batch] : settlements) subscriptions_[subscription]->Settle(std::move(batch));
}

void Dispatcher::Impl::Observe(const Handler& handler, CallFrame& frame, absl::Time began) {
  if (options_.observer == nullptr || frame.deferred() != handler.is_async) return;
  const absl::Time now = Now();
  const absl::Span<const Received> messages = frame.messages();
  for (size_t i = 0; i < messages.size(); ++i) {
    options_.observer->OnHandled(handler.name, messages[i].topic(), frame.verdicts()[i].status, now - began,
                                 began - messages[i].timestamp());
  }
}

void Dispatcher::Impl::WarnIfLate(const Handler& handler, CallFrame& frame) {
  if (handler.options.timeout == absl::InfiniteDuration()) return;
  const absl::Duration late = Now() - frame.messages()[0].deadline();
  if (late <= absl::ZeroDuration()) return;
  Log(Severity::kWarning, absl::StrCat("handler ", handler.name, " returned ", absl::FormatDuration(late),
                                       " after its deadline, message ", frame.messages()[0].id()));
}

bool Dispatcher::Impl::RunReady() {
  bool any = false;
  absl::MutexLock lock(&mutex_);
  if (engine_ == nullptr) return false;
  while (state_ == State::kRunning && RunOnce(inline_lane_)) any = true;
  return any;
}

Dispatcher::Dispatcher(Broker& broker, Producer& producer, const Providers& providers, std::vector<Handler> handlers,
                       DispatcherOptions options)
    : impl_(std::make_shared<Impl>(broker, producer, providers, std::move(handlers), std::move(options))) {}

Dispatcher::~Dispatcher() { (void)impl_->Stop(); }

absl::Status Dispatcher::Start() { return impl_->Start(); }
absl::Status Dispatcher::Wait() { return impl_->Wait(); }
absl::Status Dispatcher::Stop() { return impl_->Stop(); }
bool Dispatcher::RunReady() { return impl_->RunReady(); }
absl::Time Dispatcher::NextEvent() const { return impl_->NextEvent(); }
size_t Dispatcher::in_flight() const { return impl_->in_flight(); }
Progress Dispatcher::progress() const { return impl_->progress(); }
bool Dispatcher::draining() const { return impl_->draining(); }
absl::StatusOr<int64_t> Dispatcher::Backlog() { return impl_->Backlog(); }

}  // namespace messaging
