// What may not begin for now: pauses, breakers, rate limits; and what that leaves of the budget.
#include <algorithm>
#include <utility>

#include "messaging/dispatch/engine.h"
#include "messaging/dispatch/engine_state.h"

namespace messaging {

void Engine::PauseHandler(int handler, bool paused, absl::Time now) {
  states_[handler]->paused = paused;
  RegateAll(now);
}

void Engine::PauseTopic(const std::string& topic, bool paused, absl::Time now) {
  if (paused) {
    paused_topics_.insert(topic);
  } else {
    paused_topics_.erase(topic);
  }
  RegateAll(now);
}

Gate Engine::GateOf(int handler) const {
  const HandlerState& state = *states_[handler];
  if (state.paused) return Gate::kPaused;
  switch (state.breaker.state()) {
    case CircuitBreaker::State::kClosed:
      return Gate::kOpen;
    case CircuitBreaker::State::kOpen:
      return Gate::kTripped;
    case CircuitBreaker::State::kHalfOpen:
      return Gate::kProbing;
  }
  return Gate::kOpen;
}

bool Engine::Blocked(const Task& task) const {
  if (!gated_ || draining_) return false;
  const HandlerState& state = *states_[task.handler];
  if (state.closed() && (state.paused || state.probe != &task)) return true;
  return !paused_topics_.empty() && paused_topics_.contains(task.record->topic);
}

// To where it waits: parked, among the suspects, or in its lane; behind what is there.
void Engine::Place(Task* task, absl::Time now) {
  if (Blocked(*task)) {
    Park(task);
    return Probe(task->handler, now);
  }
  if (task->lane != nullptr) {  // A suspect at the head of a held key, which waits for it.
    AddSuspect(task);
  } else if (task->record->suspect) {
    PullKeyAhead(*task);
    AddSuspect(task);
  } else {
    Enqueue(task, now);
  }
}

void Engine::Park(Task* task, bool in_front) {
  task->parked = true;
  std::deque<Task*>& parked = states_[task->handler]->parked;
  if (in_front) {
    parked.push_front(task);
  } else {
    parked.push_back(task);
  }
  Hold* hold = task->hold;
  if (hold->parked++ > 0) return;
  ++parked_;
  parked_bytes_ += hold->bytes;
}

// The caller takes it out of `parked`.
void Engine::Unpark(Task* task) {
  task->parked = false;
  Hold* hold = task->hold;
  if (--hold->parked > 0) return;
  --parked_;
  parked_bytes_ -= hold->bytes;
}

// A task that was taken and not called: to the front of where it came from.
void Engine::PutBack(Task* task, absl::Time now) {
  Lane* const from = task->lane;
  task->running_since = absl::InfinitePast();
  task->lane = nullptr;
  if (abandoned_ || task->hold->revoked) return CloseTask(task);
  if (draining_ || task->hold->withdrawn) {
    --task->attempt;
    return ReleaseTask(task, now);
  }
  // The head of a held key that waits for a record does so there. Else, where its handler is blocked, it is parked, as
  // what waited behind it is.
  const bool blocked = Blocked(*task);
  if (from != nullptr && from->held && (task->record_first || !blocked)) {
    if (task->record->suspect) task->recorded = false;  // Else it would not be alone.
    task->lane = from;
    return from->PushFront(task);  // It is still busy: what leaves it makes it ready.
  }
  if (blocked) return Park(task, /*in_front=*/true);
  if (PutBeforeSuspects(task)) return;
  if (task->record->suspect) return AddSuspect(task);  // Before what is in its lane, as that came later.
  task->lane = LaneFor(*task);
  task->lane->PushFront(task);
  MakeReady(task->lane, now);
}

// What came behind it of its key may have been pulled ahead of the lanes meanwhile: it goes before that.
bool Engine::PutBeforeSuspects(Task* task) {
  if (!LaneFor(*task)->ordered) return false;
  const auto behind = std::find_if(suspects_.begin(), suspects_.end(), [task](const Task* other) {
    return other->handler == task->handler && other->lane == nullptr && other->record->has_key &&
           other->record->key == task->record->key;
  });
  if (behind == suspects_.end()) return false;
  task->alone = task->record_first = true;
  suspects_.insert(behind, task);
  return true;
}

// A task that failed while its handler's breaker is not closed: as if it had not been called, and behind what was not
// tried yet, so that the next probe is another one; in strict order with all of its key.
void Engine::PutBackFailed(Task* task, Lane* lane, absl::Time now) {
  HandlerState& state = *states_[task->handler];
  const bool held = lane != nullptr && lane->held && task->record_first;
  if (draining_ || held || task->hold->withdrawn) {
    task->lane = lane;
    return PutBack(task, now);
  }
  Park(task);
  if (state.strict() && task->record->has_key) {
    std::stable_partition(state.parked.begin(), state.parked.end(), [&](Task* other) {
      return !other->record->has_key || other->record->key != task->record->key;
    });
    const auto group = std::find_if(state.parked.begin(), state.parked.end(), [&](Task* other) {
      return other->record->has_key && other->record->key == task->record->key;
    });
    std::rotate(group, state.parked.end() - 1, state.parked.end());
  }
  Probe(task->handler, now);
}

// Tells the breaker of the outcome. False: the attempt does not count, as the breaker is not closed.
bool Engine::Counts(Task* task, const Outcome& outcome, absl::Time now) {
  HandlerState& state = *states_[task->handler];
  const auto& permanent = state.options->permanent;
  const bool silent = outcome.rejected || (draining_ && absl::IsCancelled(outcome.status)) ||
                      std::find(permanent.begin(), permanent.end(), outcome.status.code()) != permanent.end();
  const bool heard = !silent && (state.probe == task || state.breaker.state() == CircuitBreaker::State::kClosed);
  ProbeEnded(task);
  if (heard && state.breaker.Record(outcome.status.ok(), now)) {
    if (state.breaker.state() == CircuitBreaker::State::kOpen) {
      openings_.emplace(state.breaker.probe_at(), task->handler);
    }
    RegateAll(now);
  }
  return silent || outcome.status.ok() || state.breaker.state() == CircuitBreaker::State::kClosed;
}

void Engine::RegateAll(absl::Time now) {
  gated_ = !paused_topics_.empty();
  for (const auto& state : states_) gated_ = gated_ || state->closed();
  rooms_changed_ = true;
  for (size_t i = 0; i < states_.size(); ++i) Regate(static_cast<int>(i), now);
}

// Moves what waits for the handler to where its gate says.
void Engine::Regate(int handler, absl::Time now) {
  HandlerState& state = *states_[handler];
  if (const Gate gate = GateOf(handler); gate != state.told) {
    if (observer_ != nullptr) observer_->OnGate(handlers_[handler].name, gate);
    gate_changes_.push_back({.handler = handler, .before = state.told, .now = gate, .why = state.breaker.why()});
    state.told = gate;
  }
  ParkBlocked(handler);
  std::deque<Task*> parked;
  parked.swap(state.parked);
  for (Task* task : parked) {
    if (Blocked(*task)) {
      state.parked.push_back(task);
    } else {
      Unpark(task);
      Place(task, now);
    }
  }
  if (!state.closed()) {
    for (auto held = state.held.begin(); held != state.held.end();) MakeReady((held++)->second.get(), now);
  } else if (state.probe != nullptr && state.probe->lane != nullptr) {
    MakeReady(state.probe->lane, now);  // Its record may have come during a pause.
  }
  Probe(handler, now);
}

// Earlier ones of a key come first: what waits behind a held key, then suspects, then what is in lanes, and what came
// when the gate was closed already.
void Engine::ParkBlocked(int handler) {
  if (!gated_) return;
  HandlerState& state = *states_[handler];
  const std::deque<Task*> later = std::exchange(state.parked, {});
  const auto park = [&](Task* task) {
    if (task->handler != handler || task->begin_asked || !Blocked(*task)) return false;
    task->alone = false;
    const bool was_probe = state.probe == task;  // The first of those that are parked.
    if (!state.paused) ProbeEnded(task);         // Its topic is.
    Park(task, /*in_front=*/was_probe);
    return true;
  };
  const auto filter = [&](Lane& lane, size_t stay) {
    for (size_t left = lane.depth; left > 0; --left) {
      Task* task = lane.PopFront();
      if (stay > 0) {
        --stay;
        lane.PushBack(task);
        continue;
      }
      task->lane = nullptr;
      if (park(task)) continue;
      task->lane = &lane;
      lane.PushBack(task);
    }
  };
  for (auto held = state.held.begin(); held != state.held.end();) {
    Lane& lane = *(held++)->second;
    // The head waits for its retry, or its record, where it is.
    const bool waits = !lane.busy && lane.head != nullptr && lane.head->record_first;
    filter(lane, waits ? 1 : 0);
    if (lane.head == nullptr) SetTimer(&lane, absl::InfiniteFuture());
    EraseIfDone(&lane);
  }
  suspects_.erase(std::remove_if(suspects_.begin(), suspects_.end(), park), suspects_.end());
  filter(state.unordered, 0);
  for (auto& lane : state.lanes) {
    if (lane != nullptr) filter(*lane, 0);
  }
  state.parked.insert(state.parked.end(), later.begin(), later.end());
}

// Lets one task of a handler with a half-open breaker through, if there is one and none is under way.
void Engine::Probe(int handler, absl::Time now) {
  HandlerState& state = *states_[handler];
  if (draining_ || !state.half_open() || state.probe != nullptr) return;
  for (auto it = state.parked.begin(); it != state.parked.end(); ++it) {
    Task* task = *it;
    if (!state.held.empty() && task->record->has_key && state.held.contains(task->record->key)) continue;  // Not first.
    // What runs of its key may fail, and come first again; what leaves the lane asks for a probe.
    if (state.strict() && task->record->has_key && LaneFor(*task)->busy) continue;
    state.probe = task;
    if (Blocked(*task)) {  // By its topic.
      state.probe = nullptr;
      continue;
    }
    state.parked.erase(it);
    Unpark(task);
    return Place(task, now);
  }
  // Held keys in turn.
  auto held = state.held.upper_bound(state.last_probed_key);
  for (size_t left = state.held.size(); left > 0 && state.probe == nullptr; --left) {
    if (held == state.held.end()) held = state.held.begin();
    MakeReady((held++)->second.get(), now);
  }
  rooms_changed_ = true;  // The next one may have to be read.
}

// The head of a held key, which is due, as the probe.
bool Engine::AdmitProbe(Task* task) {
  HandlerState& state = *states_[task->handler];
  if (!state.half_open() || state.probe != nullptr) return false;
  state.probe = task;
  state.last_probed_key = std::string(task->record->key);
  if (!Blocked(*task)) return true;
  state.probe = nullptr;
  return false;
}

// It ran, or was taken from us: at the next tick another may.
void Engine::ProbeEnded(Task* task) {
  HandlerState& state = *states_[task->handler];
  if (state.probe != task) return;
  state.probe = nullptr;
  openings_.emplace(absl::InfinitePast(), task->handler);
}

// The lane waits for the handler's rate.
void Engine::Throttle(Lane* lane, size_t wanted, absl::Time now) {
  HandlerState& state = *states_[lane->handler];
  lane->queued = true;
  state.waiting.push_back(lane);
  openings_.emplace(std::max(state.bucket.When(wanted), now), lane->handler);
}

void Engine::OpenWhatIsDue(absl::Time now) {
  while (!openings_.empty() && openings_.begin()->first <= now) {
    const int handler = openings_.begin()->second;
    openings_.erase(openings_.begin());
    HandlerState& state = *states_[handler];
    if (state.breaker.Tick(now)) RegateAll(now);
    Probe(handler, now);
    for (size_t left = state.waiting.size(); left > 0; --left) ReadyNextWaiting(state);
  }
}

std::pair<size_t, size_t> Engine::Used() const {
  const auto beyond_half = [](size_t parked, size_t most) { return parked > most / 2 ? parked - most / 2 : 0; };
  return {in_hand_ - std::min(in_hand_, beyond_half(parked_, limits_.max_messages)),
          bytes_in_hand_ - std::min(bytes_in_hand_, beyond_half(parked_bytes_, limits_.max_bytes))};
}

// Whether a topic with these handlers is to be read.
bool Engine::Reads(const std::vector<int>& handlers) const {
  const bool full = parked_ * 2 >= limits_.max_messages || parked_bytes_ * 2 >= limits_.max_bytes;
  bool any_open = false, any_closed = false;
  for (const int handler : handlers) {
    const HandlerState& state = *states_[handler];
    // A breaker that would try a message and has none needs one.
    const bool wants_probe = state.half_open() && state.probe == nullptr && state.parked.empty() && state.held.empty();
    (state.closed() && !wants_probe ? any_closed : any_open) = true;
  }
  return any_open && !(any_closed && full);
}

Room Engine::room(int subscription) const {
  const auto [messages, bytes] = Used();
  // For drivers that cannot leave out a topic.
  const bool overfull = in_hand_ >= limits_.max_messages + limits_.max_messages / 2 ||
                        bytes_in_hand_ >= limits_.max_bytes + limits_.max_bytes / 2;
  if (draining_ || overfull || messages >= limits_.max_messages || bytes >= limits_.max_bytes) return {};
  const size_t share = static_cast<size_t>(subscriptions_);
  Room room{std::max<size_t>(1, (limits_.max_messages - messages) / share),
            std::max<size_t>(1, (limits_.max_bytes - bytes) / share)};
  if (!gated_) return room;
  auto closed = std::make_shared<std::vector<std::string>>();
  for (const auto& [topic, handlers] : by_topic_[subscription]) {
    if (paused_topics_.contains(topic) || !Reads(handlers)) closed->push_back(topic);
  }
  if (!closed->empty()) room.closed = std::move(closed);
  return room;
}

bool Engine::HasRoomAgain() const {
  const auto [messages, bytes] = Used();
  return messages <= limits_.max_messages * 3 / 4 && bytes <= limits_.max_bytes / 4 * 3;
}

}  // namespace messaging
