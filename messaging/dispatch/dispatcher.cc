#include "messaging/dispatch/dispatcher.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "messaging/dispatch/dispatcher_impl.h"
#include "messaging/dispatch/plan.h"
#include "messaging/log.h"

namespace messaging {

absl::Status Dispatcher::Impl::Start() {
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
    for (const std::string& group : groups) assignments_.push_back({.group = group});
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
  progress.refused = engine_->refused();
  if (progress.refused > 0) progress.refusing = Now() - refused_since_;
  progress.assignments = assignments_;
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
    Orders orders = TakeOrders();
    if (!orders.empty()) {
      mutex_.Unlock();
      Give(std::move(orders));
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
  Orders orders;
  {
    absl::MutexLock lock(&mutex_);
    engine_->Offer(subscription, std::move(batch), Now());
    if (options_.observer != nullptr) options_.observer->OnInFlight(engine_->in_hand(), engine_->bytes_in_hand());
    orders = TakeOrders();
    WakeWorkers();
  }
  Give(std::move(orders));
}

void Dispatcher::Impl::OnSettled(int subscription, std::vector<Settlement> batch) {
  std::vector<absl::Status> refused;
  for (const Settlement& settlement : batch) {
    const absl::Status& status = settlement.status;
    if (!status.ok() && !absl::IsCancelled(status)) refused.push_back(status);
  }
  std::vector<int> wake;
  std::string line;
  Orders next;
  {
    absl::MutexLock lock(&mutex_);
    const size_t before = engine_->refused();
    engine_->Settled(subscription, std::move(batch), Now());
    if (!refused.empty() || before > 0) line = NoteRefusals(refused, before);
    // A held retry whose time came while its failure was being noted asks for its next attempt at once: no worker may
    // come by.
    next = TakeOrders();
    if (options_.observer != nullptr) options_.observer->OnInFlight(engine_->in_hand(), engine_->bytes_in_hand());
    wake = TakeStarved();
    if (state_ != State::kRunning) progress_.SignalAll();
    WakeWorkers();
  }
  if (!line.empty()) Log(refused.empty() ? Severity::kInfo : Severity::kWarning, line);
  Give(std::move(next));
  for (int i : wake) subscriptions_[i]->Wake();
}

// Those who were told of no room, once there is a quarter of the budget: not for each message.
std::vector<int> Dispatcher::Impl::TakeStarved() {
  std::vector<int> starved;
  for (size_t i = 0; i < starved_.size(); ++i) {
    if (starved_[i] == 0 || !engine_->HasRoomAgain()) continue;
    starved_[i] = 0;
    starved.push_back(static_cast<int>(i));
  }
  return starved;
}

// One line when settling begins to fail, one a minute while it does, and one when all that was refused is settled.
std::string Dispatcher::Impl::NoteRefusals(const std::vector<absl::Status>& why, size_t before) {
  const absl::Time now = Now();
  if (!why.empty() && before == 0) {
    refused_since_ = now;
    refused_answers_ = 0;
    refusals_.Reset();
  }
  refused_answers_ += why.size();
  if (!why.empty() && refusals_.Happened(now) > 0) {
    return absl::StrCat("messages could not be settled and will be again, ", engine_->refused(),
                        " of them waiting: ", why.front().ToString());
  }
  if (before == 0 || engine_->refused() > 0) return "";
  return absl::StrCat("all messages can be settled again, after ", refused_answers_, " refusals in ",
                      absl::FormatDuration(absl::Ceil(now - refused_since_, absl::Milliseconds(1))));
}

Room Dispatcher::Impl::RoomFor(int subscription) {
  absl::MutexLock lock(&mutex_);
  const Room room = state_ == State::kRunning ? engine_->room(subscription) : Room{};
  if (room.messages == 0 || room.bytes == 0) starved_[subscription] = 1;
  return room;
}

void Dispatcher::Impl::OnWithdraw(int subscription, const std::function<bool(const Record&)>& which) {
  Orders orders;
  {
    absl::MutexLock lock(&mutex_);
    engine_->Withdraw(subscription, which, Now());
    orders = TakeOrders();
    WakeWorkers();
  }
  Give(std::move(orders));
}

void Dispatcher::Impl::OnRevoke(int subscription, const std::function<bool(const Record&)>& which) {
  std::vector<int> wake;
  {
    absl::MutexLock lock(&mutex_);
    engine_->Revoke(subscription, which);
    wake = TakeStarved();
    WakeWorkers();
  }
  for (int i : wake) subscriptions_[i]->Wake();
}

absl::Status Dispatcher::Impl::SetPaused(const std::string& handler, const std::string& topic, bool paused) {
  if (!handler.empty() && !topic.empty()) {
    return absl::InvalidArgumentError("a handler or a topic is paused, not both at once");
  }
  std::vector<int> handlers;
  std::set<std::string> names, topics;
  for (size_t i = 0; i < handlers_.size(); ++i) {
    names.insert(handlers_[i].name);
    topics.insert(handlers_[i].options.topics.begin(), handlers_[i].options.topics.end());
    const bool chosen = topic.empty() && (handler.empty() || handlers_[i].name == handler);
    if (chosen) handlers.push_back(static_cast<int>(i));
  }
  if (!handler.empty() && handlers.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no handler is called ", handler, "; there are ", absl::StrJoin(names, ", ")));
  }
  if (!topic.empty() && !topics.contains(topic)) {
    return absl::NotFoundError(
        absl::StrCat("no handler for topic ", topic, "; there are handlers for ", absl::StrJoin(topics, ", ")));
  }
  Orders orders;
  {
    absl::MutexLock lock(&mutex_);
    if (state_ != State::kRunning || !joined_) return absl::FailedPreconditionError("the consumer is not running");
    const absl::Time now = Now();
    for (const int one : handlers) engine_->PauseHandler(one, paused, now);
    if (!topic.empty()) engine_->PauseTopic(topic, paused, now);
    if (!paused && handler.empty() && topic.empty()) {
      for (const std::string& one : topics) engine_->PauseTopic(one, false, now);
    }
    gates_.fetch_add(1, std::memory_order_relaxed);
    orders = TakeOrders();
    WakeWorkers();
  }
  if (!topic.empty()) Log(Severity::kInfo, absl::StrCat("topic ", topic, paused ? " is paused" : " goes on"));
  Give(std::move(orders));
  return absl::OkStatus();
}

void Dispatcher::Impl::OnAssigned(int subscription, Assignment now) {
  absl::MutexLock lock(&mutex_);
  assignments_[subscription] = std::move(now);
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
absl::Status Dispatcher::SetPaused(const std::string& handler, const std::string& topic, bool paused) {
  return impl_->SetPaused(handler, topic, paused);
}
absl::StatusOr<int64_t> Dispatcher::Backlog() { return impl_->Backlog(); }

}  // namespace messaging
