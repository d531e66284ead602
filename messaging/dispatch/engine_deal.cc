// From the broker to lanes, from lanes to workers.
#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "messaging/dispatch/engine.h"
#include "messaging/dispatch/engine_state.h"

namespace messaging {

const std::vector<int>& Engine::Targets(int subscription, const Record& record) const {
  static const std::vector<int> none;
  const auto& map = record.handler.empty() ? by_topic_[subscription] : by_name_[subscription];
  auto found = map.find(record.handler.empty() ? record.topic : record.handler);
  return found == map.end() ? none : found->second;
}

void Engine::Deal(int subscription, Delivery delivery, absl::Time now) {
  const Record& record = *delivery.record();
  const std::vector<int>& targets = Targets(subscription, record);
  Hold* hold = NewHold(subscription, std::move(delivery));
  if (draining_) return Settle(hold, Settlement::Verdict::kRelease);
  if (targets.empty()) {
    return DeadLetterAll(hold, std::string(record.handler),
                         record.handler.empty()
                             ? absl::NotFoundError(absl::StrCat("no handler for topic ", record.topic))
                             : absl::NotFoundError(absl::StrCat("no handler is registered as ", record.handler)),
                         now);
  }
  // More attempts were started than there may be: the plan was changed, or the last one ended the process.
  if (targets.size() == 1 && record.attempts > states_[targets[0]]->options->max_retries) {
    return DeadLetterAll(hold, handlers_[targets[0]].name,
                         record.suspect || record.last_error.empty()
                             ? absl::AbortedError(absl::StrCat("the process ended during attempt ", record.attempts))
                             : absl::UnknownError(record.last_error),
                         now);
  }
  if (record.suspect && targets.size() > 1) return SplitSuspect(hold, targets);
  hold->shared = targets.size() > 1;
  if (hold->shared) hold->delivery.record()->LoadMetadata();  // Its handlers run on several threads.
  Task* used_up = nullptr;  // At most one: the attempts that are known are of one handler.
  for (int target : targets) {
    Task* task = hold->AddTask();
    *task = Task{.hold = hold, .record = hold->delivery.record(), .handler = target, .arrived = now};
    task->stored = RecordedAttempts(*task);
    task->attempt = task->stored + 1;
    if (hold->shared && task->attempt > states_[target]->options->max_retries + 1) {
      used_up = task;
    } else if (record.not_before > now && record.has_key && states_[target]->strict()) {
      task->not_before = record.not_before;
      task->record_first = true;
      Lane* const ordinary = LaneFor(*task);
      task->lane = HeldLane(task);
      if (ordinary->busy && task->lane->head == nullptr) {
        task->lane->behind = ordinary;
        ordinary->awaited = true;
      }
      task->lane->PushBack(task);
      MakeReady(task->lane, now);
    } else {
      Place(task, now);
    }
  }
  if (used_up == nullptr) return;
  --used_up->attempt;
  AddCopy(used_up, Copy::Kind::kDeadLetter, absl::ZeroDuration(),
          absl::AbortedError("its last attempt had begun, and was given back without an outcome"), used_up->attempt,
          now);
  CloseTask(used_up);
}

// What the broker knows of the task's attempts: those of a message that several handlers share are of one of them.
int Engine::RecordedAttempts(const Task& task) const {
  const Record& record = *task.record;
  const bool shared = record.handler.empty() && task.hold->shared;
  return shared && record.attempts_of != handlers_[task.handler].name ? 0 : record.attempts;
}

void Engine::SplitSuspect(Hold* hold, const std::vector<int>& targets) {
  const Record& record = *hold->delivery.record();
  hold->copies = std::make_unique<std::vector<Copy>>();
  for (int target : targets) {
    hold->copies->push_back({.kind = Copy::Kind::kRetry,
                             .failure = {.handler = handlers_[target].name,
                                         .status = absl::AbortedError("its consumer ended while it was in hand"),
                                         .attempts = handlers_[target].name == record.attempts_of ? record.attempts : 0,
                                         .first = record.first_failure},
                             .suspect = true});
  }
  Settle(hold, Settlement::Verdict::kAck);
}

Engine::Lane* Engine::LaneFor(const Task& task) {
  HandlerState& state = *states_[task.handler];
  const Record& record = *task.record;
  if (state.options->order == Order::kNone || !record.has_key) return &state.unordered;
  std::unique_ptr<Lane>& lane = state.lanes[std::hash<std::string_view>()(record.key) % state.lanes.size()];
  if (lane == nullptr) {
    lane = std::make_unique<Lane>();
    lane->id = next_lane_++;
    lane->handler = task.handler;
    lane->ordered = true;
  }
  return lane.get();
}

void Engine::Enqueue(Task* task, absl::Time now) {
  task->lane = LaneFor(*task);
  task->lane->PushBack(task);
  MakeReady(task->lane, now);
}

// Puts the lane where Take finds it, if something of it may begin now; sets its timer if something may later.
void Engine::MakeReady(Lane* lane, absl::Time now) {
  if (lane->queued || lane->head == nullptr || (lane->ordered && lane->busy) || lane->behind != nullptr) return;
  HandlerState& state = *states_[lane->handler];
  absl::Time due = absl::InfinitePast();
  if (lane->held) {
    Task* head = lane->head;
    due = head->not_before;
    if (head->begin_asked) return;
    if (due <= now && Blocked(*head) && !AdmitProbe(head)) return;
    if (due <= now && head->record_first && !head->recorded) {
      if (head->record->suspect) {  // Its key waits for it here while it runs alone.
        lane->busy = true;
        AddSuspect(lane->PopFront());
      } else {
        AskBegin(head, head->attempt, absl::ZeroDuration());
      }
      return;
    }
  }
  if (state.is_batch && !draining_ && lane->depth < state.options->batch.max) {
    due = lane->head->arrived + state.options->batch.wait;
  }
  SetTimer(lane, due > now ? due : absl::InfiniteFuture());
  if (due > now) return;
  lane->queued = true;
  (state.running >= state.concurrency ? state.waiting : ready_).push_back(lane);
}

void Engine::SetTimer(Lane* lane, absl::Time due) {
  if (lane->timer == due) return;
  if (lane->timer != absl::InfiniteFuture()) timers_.erase({lane->timer, lane->id});
  lane->timer = due;
  if (due != absl::InfiniteFuture()) timers_[{due, lane->id}] = lane;
}

// Its key is held, by a failing message (strict order) or by a call that takes long: the task waits behind it.
bool Engine::DivertToHeldKey(Task* task, absl::Time now) {
  HandlerState& state = *states_[task->handler];
  if (state.held.empty()) return false;
  auto held = state.held.find(task->record->key);
  if (held == state.held.end()) return false;
  task->lane = held->second.get();
  task->lane->PushBack(task);
  ProbeEnded(task);  // Another key's first.
  MakeReady(task->lane, now);
  return true;
}

bool Engine::TakeFrom(Lane* lane, size_t most, Work& work, absl::Time now) {
  const bool may_divert = lane->ordered && !lane->held;
  bool taken = false;
  while (lane->head != nullptr && work.tasks.size() < most) {
    if (lane->held && ((lane->head->record_first && !lane->head->recorded) || Blocked(*lane->head))) break;
    Task* task = lane->PopFront();
    if (may_divert && DivertToHeldKey(task, now)) continue;
    task->begun = true;
    task->work = work.id;
    task->running_since = now;
    task->hold->begun = true;
    work.tasks.push_back(task);
    taken = true;
  }
  if (!taken) {
    if (lane->held) {  // What it was queued for has gone, and what came since has not been asked for.
      MakeReady(lane, now);
      EraseIfDone(lane);
    }
    return false;
  }
  work.handler = lane->handler;
  work.lanes.push_back(lane);
  lane->busy = lane->ordered;
  return true;
}

// Suspects run before what waits in lanes: earlier messages of this one's key must not be overtaken, and go with it.
void Engine::PullKeyAhead(const Task& suspect) {
  Lane* lane = LaneFor(suspect);
  if (!lane->ordered) return;
  for (size_t left = lane->depth; left > 0; --left) {
    Task* task = lane->PopFront();
    if (task->record->key == suspect.record->key) {
      task->lane = nullptr;
      AddSuspect(task);
    } else {
      lane->PushBack(task);
    }
  }
}

void Engine::AddSuspect(Task* task) {
  task->alone = true;
  task->record_first = true;
  suspects_.push_back(task);
}

// The first that may begin now. Others' work goes on past those that may not.
Engine::Task* Engine::NextSuspect(absl::Time now) {
  for (Task* task : suspects_) {
    if (Blocked(*task)) continue;
    TokenBucket& bucket = states_[task->handler]->bucket;
    if (!bucket.limited() || bucket.Available(now) > 0) return task;
    openings_.emplace(bucket.When(1), task->handler);
  }
  return nullptr;
}

std::optional<Engine::Work> Engine::TakeSuspect(Task* task, absl::Time now) {
  if (running_ > 0) return std::nullopt;  // It must be alone.
  HandlerState& state = *states_[task->handler];
  const auto leave_suspects = [&] {
    suspects_.erase(std::find(suspects_.begin(), suspects_.end(), task));
    task->alone = false;
  };
  if (!task->recorded) {
    if (task->begin_asked) return std::nullopt;
    if (task->lane == nullptr) {
      const auto place = std::find(suspects_.begin(), suspects_.end(), task) - suspects_.begin();
      leave_suspects();
      if (DivertToHeldKey(task, now)) return Take(now);
      suspects_.insert(suspects_.begin() + place, task);
      task->alone = true;
    }
    AskBegin(task, task->attempt, absl::ZeroDuration());
    return std::nullopt;
  }
  leave_suspects();
  if (state.bucket.limited()) state.bucket.Take(1, now);
  suspect_running_ = true;
  task->begun = task->hold->begun = true;
  task->running_since = now;
  ++state.running;
  ++running_;
  task->work = ++last_work_;
  Work work{.id = task->work, .handler = task->handler, .tasks = {task}};
  if (task->lane != nullptr) work.lanes.push_back(task->lane);
  return work;
}

// A held key's lane ends when nothing waits in it, or for it.
void Engine::EraseIfDone(Lane* lane) {
  if (lane->held && lane->head == nullptr && !lane->busy && !lane->queued) {
    const int handler = lane->handler;
    states_[handler]->held.erase(std::string(lane->key));
    if (states_[handler]->half_open()) openings_.emplace(absl::InfinitePast(), handler);  // Its key may be tried.
  }
}

// Nothing of the lane runs any more: what waits in it may begin, and what came to a key of its meanwhile.
void Engine::Free(Lane* lane, absl::Time now) {
  lane->busy = false;
  MakeReady(lane, now);
  if (!std::exchange(lane->awaited, false)) return;
  for (auto& [key, held] : states_[lane->handler]->held) {
    if (held->behind != lane) continue;
    held->behind = nullptr;
    MakeReady(held.get(), now);
  }
}

// A Work has ended or, deferred, given up its lanes: others may begin.
void Engine::Leave(int handler, absl::Span<Lane* const> lanes, absl::Time now) {
  HandlerState& state = *states_[handler];
  --state.running;
  --running_;
  suspect_running_ = false;  // It ran alone: what leaves is it.
  for (Lane* lane : lanes) {
    Free(lane, now);
    EraseIfDone(lane);
  }
  if (state.half_open() && state.probe == nullptr) openings_.emplace(absl::InfinitePast(), handler);
  ReadyNextWaiting(state);
}

void Engine::ReadyNextWaiting(HandlerState& state) {
  if (state.waiting.empty() || state.running >= state.concurrency) return;
  ready_.push_back(state.waiting.front());
  state.waiting.pop_front();
}

}  // namespace messaging
