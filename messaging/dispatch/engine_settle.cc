// From outcomes to verdicts, and what the brokers answer.
#include <algorithm>
#include <utility>

#include "messaging/dispatch/engine.h"
#include "messaging/dispatch/engine_state.h"
#include "messaging/dispatch/retry.h"

namespace messaging {
namespace {

// How long a refused verdict waits before it is given again: the dead-letter place may be away for a while.
constexpr absl::Duration kSettleAgain = absl::Seconds(1);

}  // namespace

void Engine::End(Task* task, const Outcome& outcome, absl::Time now) {
  Hold* hold = task->hold;
  Lane* const lane = task->lane;
  task->running_since = absl::InfinitePast();
  task->deferred = false;
  task->lane = nullptr;
  if (abandoned_ || hold->revoked) return CloseTask(task);
  const HandlerOptions& options = *states_[task->handler]->options;
  Decision decision = outcome.rejected ? Decision{Decision::Verdict::kDeadLetter}
                                       : Decide(options, outcome.status, task->attempt, draining_, Random());
  if (states_[task->handler]->breaker.enabled() && !Counts(task, outcome, now)) {
    return PutBackFailed(task, lane, now);
  }
  switch (decision.verdict) {
    case Decision::Verdict::kAck:
      break;
    case Decision::Verdict::kRelease:
      --task->attempt;  // It does not count.
      return ReleaseTask(task, now);
    case Decision::Verdict::kRetry:
      if (states_[task->handler]->strict() && task->record->has_key) {
        if (!draining_ && !hold->withdrawn) return HoldForRetry(task, decision.delay, now);
        task->not_before = now + decision.delay;
        return ReleaseTask(task, now);
      }
      AddCopy(task, Copy::Kind::kRetry, decision.delay, outcome.status, task->attempt, now);
      break;
    case Decision::Verdict::kDeadLetter:
      AddCopy(task, Copy::Kind::kDeadLetter, absl::ZeroDuration(), outcome.status, task->attempt, now);
      break;
  }
  CloseTask(task);
}

void Engine::AddCopy(Task* task, Copy::Kind kind, absl::Duration delay, absl::Status status, int attempts,
                     absl::Time now) {
  Hold* hold = task->hold;
  const Record& record = *task->record;
  const std::string& name = handlers_[task->handler].name;
  if (observer_ != nullptr && kind == Copy::Kind::kRetry) observer_->OnRetry(name, record.topic, attempts, delay);
  if (observer_ != nullptr && kind == Copy::Kind::kDeadLetter) observer_->OnDeadLetter(name, record.topic, status);
  if (hold->copies == nullptr) hold->copies = std::make_unique<std::vector<Copy>>();
  hold->copies->push_back(
      {.kind = kind,
       .delay = delay,
       .failure = {.handler = name,
                   .status = std::move(status),
                   .attempts = attempts,
                   .first = record.first_failure == absl::InfinitePast() ? now : record.first_failure,
                   .last = now}});
}

void Engine::DeadLetterAll(Hold* hold, std::string handler, absl::Status why, absl::Time now) {
  const Record& record = *hold->delivery.record();
  if (observer_ != nullptr) observer_->OnDeadLetter(handler, record.topic, why);
  hold->copies = std::make_unique<std::vector<Copy>>();
  hold->copies->push_back(
      {.kind = Copy::Kind::kDeadLetter,
       .failure = {.handler = std::move(handler),
                   .status = std::move(why),
                   .attempts = record.attempts,
                   .first = record.first_failure == absl::InfinitePast() ? now : record.first_failure,
                   .last = now}});
  Settle(hold, Settlement::Verdict::kAck);
}

// Strict order: the task becomes the head of a lane of its key's own, and is called again when its delay has passed and
// the coming attempt was recorded.
void Engine::HoldForRetry(Task* task, absl::Duration delay, absl::Time now) {
  if (observer_ != nullptr) {
    observer_->OnRetry(handlers_[task->handler].name, task->record->topic, task->attempt, delay);
  }
  ++task->attempt;
  task->record_first = true;
  task->recorded = false;
  task->not_before = now + delay;
  task->lane = HeldLane(task);
  task->lane->PushFront(task);
  task->noting = true;
  AskBegin(task, task->attempt - 1, delay);
}

Engine::Lane* Engine::HeldLane(Task* task) {
  std::unique_ptr<Lane>& lane = states_[task->handler]->held[std::string(task->record->key)];
  if (lane == nullptr) {
    lane = std::make_unique<Lane>();
    lane->id = next_lane_++;
    lane->handler = task->handler;
    lane->ordered = lane->held = true;
    lane->key = std::string(task->record->key);
  }
  return lane.get();
}

// Gives the task's message back to the broker, its attempts so far kept. A message that other handlers have had goes on
// as a copy for this one.
void Engine::ReleaseTask(Task* task, absl::Time now) {
  ProbeEnded(task);
  Hold* hold = task->hold;
  const absl::Duration wait = std::max(task->not_before - now, absl::ZeroDuration());
  if (hold->begun && hold->shared) {
    AddCopy(task, Copy::Kind::kRetry, wait, absl::CancelledError("draining"), task->attempt, now);
    return CloseTask(task);
  }
  if (task->recorded || task->attempt != task->stored) {  // The broker's count is another one.
    task->release_after = true;
    task->lane = nullptr;
    return AskBegin(task, task->attempt, wait);
  }
  hold->release = true;
  CloseTask(task);
}

void Engine::CloseTask(Task* task) {
  ProbeEnded(task);
  Hold* hold = task->hold;
  if (--hold->open_tasks > 0) return;
  Settle(hold, hold->release ? Settlement::Verdict::kRelease : Settlement::Verdict::kAck);
}

void Engine::Settle(Hold* hold, Settlement::Verdict verdict) {
  if (hold->revoked || abandoned_) {
    if (hold->delivery && hold->revoked && observer_ != nullptr)
      observer_->OnLateSettlement(hold->delivery.record()->topic);
    --in_hand_;
    bytes_in_hand_ -= hold->bytes;
    return Forget(hold);
  }
  if (verdict == Settlement::Verdict::kRelease && observer_ != nullptr) {
    observer_->OnReleased(hold->delivery.record()->topic, 1);
  }
  out_[hold->subscription].push_back({.delivery = std::move(hold->delivery),
                                      .verdict = verdict,
                                      .copies = std::move(hold->copies),
                                      .bytes = hold->bytes,
                                      .subscription = hold->subscription});
  Forget(hold);
}

void Engine::AskBegin(Task* task, int attempts, absl::Duration wait) {
  Hold* hold = task->hold;
  task->begin_asked = true;
  task->asked = attempts;
  if (!hold->delivery) {  // Lent for another handler's record: after that.
    hold->begins.push_back({task, attempts, wait});
    return;
  }
  Settlement settlement = std::move(hold->delivery).Begin(handlers_[task->handler].name, attempts, wait);
  settlement.bytes = hold->bytes;
  settlement.subscription = hold->subscription;
  settlement.context = task;
  out_[hold->subscription].push_back(std::move(settlement));
}

void Engine::AnswerBegin(Task* task, Settlement answer, absl::Time now) {
  Hold* hold = task->hold;
  hold->delivery = std::move(answer.delivery);
  task->begin_asked = false;
  const bool noted = std::exchange(task->noting, false);
  if (!hold->delivery || absl::IsCancelled(answer.status)) {  // It is no longer ours.
    hold->revoked = true;
    ProbeEnded(task);
    for (const Hold::LentBegin& waiting : std::exchange(hold->begins, {})) {
      waiting.task->begin_asked = false;
      Unqueue(waiting.task, now);
      CloseTask(waiting.task);
    }
    Unqueue(task, now);
    return CloseTask(task);
  }
  task->stored = task->asked;
  if (!hold->begins.empty()) {
    const Hold::LentBegin next = hold->begins.front();
    hold->begins.erase(hold->begins.begin());
    AskBegin(next.task, next.attempts, next.wait);
  }
  if (abandoned_ || hold->revoked || task->release_after) {
    Unqueue(task, now);
    hold->release = true;
    return CloseTask(task);
  }
  task->recorded = !noted;
  if (draining_ || hold->withdrawn) {  // It was recorded, and will not begin.
    Unqueue(task, now);
    --task->attempt;
    return ReleaseTask(task, now);
  }
  if (task->alone && Blocked(*task)) {  // Of its handler it was the first.
    suspects_.erase(std::find(suspects_.begin(), suspects_.end(), task));
    task->alone = false;
    Park(task, /*in_front=*/true);
    return Probe(task->handler, now);
  }
  if (!task->alone) MakeReady(task->lane, now);
}

// Out of the place where a task waits for its attempt's record: the suspects, or the head of a held lane.
void Engine::Unqueue(Task* task, absl::Time now) {
  Lane* lane = task->lane;
  task->lane = nullptr;
  if (task->alone) {
    task->alone = false;
    suspects_.erase(std::remove(suspects_.begin(), suspects_.end(), task), suspects_.end());
    if (lane == nullptr) return;
    lane->busy = false;
  } else if (lane != nullptr && lane->head == task) {
    lane->PopFront();
  } else {
    return;
  }
  MakeReady(lane, now);
  EraseIfDone(lane);
}

void Engine::Settled(int subscription, std::vector<Settlement> answers, absl::Time now) {
  (void)subscription;
  for (Settlement& answer : answers) {
    const bool begin = answer.verdict == Settlement::Verdict::kBegin;
    if (!answer.status.ok() && !absl::IsCancelled(answer.status) && !abandoned_) {
      if (!std::exchange(answer.refused, true)) ++refused_;
      resettle_.emplace(now + kSettleAgain, std::move(answer));
      continue;
    }
    if (std::exchange(answer.refused, false)) --refused_;
    if (begin) {
      AnswerBegin(static_cast<Task*>(answer.context), std::move(answer), now);
      continue;
    }
    --in_hand_;
    bytes_in_hand_ -= answer.bytes;
  }
}

// What some handler has had goes on; what waits for a retry in place, or for its handler's gate or rate, does not.
void Engine::ReleaseQueued(const std::function<bool(const Task&)>& which, absl::Time now) {
  std::vector<Task*> dropped = DropQueued([&](const Task& task) {
    const bool follows = task.lane != nullptr && task.lane->held && states_[task.handler]->strict();
    return which(task) &&
           (!task.hold->begun || task.begun || task.parked || follows || states_[task.handler]->bucket.limited());
  });
  for (Task* task : dropped) {
    --task->attempt;
    ReleaseTask(task, now);
  }
}

void Engine::Withdraw(int subscription, const std::function<bool(const Record&)>& which, absl::Time now) {
  for (auto& hold : holds_) {
    if (hold->active && hold->subscription == subscription && which(*hold->first.record)) hold->withdrawn = true;
  }
  ReleaseQueued([](const Task& task) { return task.hold->withdrawn; }, now);
}

void Engine::Drain(absl::Time now) {
  draining_ = true;
  ReleaseQueued([](const Task&) { return true; }, now);
  for (auto& state : states_) {  // Batches do not wait any more.
    MakeReady(&state->unordered, now);
    for (auto& lane : state->lanes) {
      if (lane != nullptr) MakeReady(lane.get(), now);
    }
  }
}

void Engine::Abandon() {
  abandoned_ = true;
  for (Task* task : DropQueued([](const Task&) { return true; })) CloseTask(task);
  for (auto& settlements : out_) {
    for (Settlement& settlement : settlements) resettle_.emplace(absl::InfinitePast(), std::move(settlement));
    settlements.clear();
  }
  for (auto& [due, settlement] : std::exchange(resettle_, {})) {
    if (settlement.verdict == Settlement::Verdict::kBegin) {
      AnswerBegin(static_cast<Task*>(settlement.context), std::move(settlement), absl::InfinitePast());
    } else {
      --in_hand_;
      bytes_in_hand_ -= settlement.bytes;
    }
  }
}

void Engine::Revoke(int subscription, const std::function<bool(const Record&)>& which) {
  for (auto& hold : holds_) {
    if (!hold->active || hold->subscription != subscription || !hold->delivery) continue;
    if (which(*hold->delivery.record())) hold->revoked = true;
  }
  for (Task* task : DropQueued([](const Task& task) { return task.hold->revoked; })) CloseTask(task);
}

// Takes queued tasks out of their lanes; the caller ends them.
std::vector<Engine::Task*> Engine::DropQueued(const std::function<bool(const Task&)>& which) {
  std::vector<Task*> dropped;
  // A task whose attempt is being recorded has lent its delivery; the answer ends it.
  auto drops = [&](Task* task) {
    if (task->begin_asked || !which(*task)) return false;
    if ((task->alone || task->parked) && task->lane != nullptr) task->lane->busy = false;
    task->alone = false;
    if (task->parked) Unpark(task);
    ProbeEnded(task);
    dropped.push_back(task);
    return true;
  };
  auto filter = [&](Lane& lane) {
    for (size_t left = lane.depth; left > 0; --left) {
      Task* task = lane.PopFront();
      if (!drops(task)) lane.PushBack(task);
    }
  };
  // Those that a held key's lane waits for come before the lanes: it may end with them.
  suspects_.erase(std::remove_if(suspects_.begin(), suspects_.end(), drops), suspects_.end());
  for (auto& state : states_) {
    state->parked.erase(std::remove_if(state->parked.begin(), state->parked.end(), drops), state->parked.end());
    filter(state->unordered);
    for (auto& lane : state->lanes) {
      if (lane != nullptr) filter(*lane);
    }
    for (auto held = state->held.begin(); held != state->held.end();) {
      Lane& lane = *held->second;
      filter(lane);
      if (lane.head != nullptr || lane.busy || lane.queued) {
        ++held;
        MakeReady(&lane, absl::InfinitePast());  // For its new head.
        continue;
      }
      SetTimer(&lane, absl::InfiniteFuture());
      state->held.erase(held++);
    }
  }
  for (size_t i = 0; i < states_.size(); ++i) {  // What was to be tried has gone: another may be, or has to be read.
    if (!dropped.empty() && states_[i]->half_open()) openings_.emplace(absl::InfinitePast(), static_cast<int>(i));
  }
  return dropped;
}

}  // namespace messaging
