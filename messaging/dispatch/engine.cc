#include "messaging/dispatch/engine.h"

#include <algorithm>
#include <utility>

#include "messaging/dispatch/engine_state.h"

namespace messaging {
namespace {

// Of one driver's batch: topics are mostly views of the same name.
bool SameText(std::string_view a, std::string_view b) {
  return a.size() == b.size() && (a.data() == b.data() || a == b);
}

}  // namespace
namespace {

// Buckets of keys a handler: a quick handler's keys need no more, and a slow one's leave them (Unblock).
constexpr size_t kLanes = 64;
constexpr size_t kMaxQuantum = 512;
constexpr absl::Duration kShortWork = absl::Microseconds(100);
constexpr absl::Duration kLongWork = absl::Milliseconds(1);

}  // namespace

Engine::Engine(std::vector<EngineHandler> handlers, int subscriptions, EngineLimits limits, uint64_t seed,
               Observer* observer)
    : handlers_(std::move(handlers)),
      subscriptions_(subscriptions),
      limits_(limits),
      observer_(observer),
      random_(seed | 1),
      by_topic_(subscriptions),
      by_name_(subscriptions),
      out_(subscriptions) {
  for (size_t i = 0; i < handlers_.size(); ++i) {
    const EngineHandler& handler = handlers_[i];
    const HandlerOptions& options = *handler.options;
    auto state = std::make_unique<HandlerState>(&options);
    state->is_batch = handler.is_batch;
    // A breaker has to see each outcome before the next call.
    state->one_at_a_time = handler.is_async || options.order == Order::kPerKeyStrict || state->breaker.enabled();
    state->concurrency = std::max(1, options.concurrency > 0 ? options.concurrency : limits.concurrency);
    state->unordered.handler = static_cast<int>(i);
    state->unordered.id = next_lane_++;
    // A batch in order comes from one lane: as many lanes as batches at once were asked for.
    state->lanes.resize(handler.is_batch ? std::max(1, options.concurrency) : kLanes);
    states_.push_back(std::move(state));
    for (const std::string& topic : options.topics) {
      by_topic_[handler.subscription][topic].push_back(static_cast<int>(i));
    }
    by_name_[handler.subscription][handler.name] = {static_cast<int>(i)};
    for (const std::string& name : options.formerly) by_name_[handler.subscription][name] = {static_cast<int>(i)};
  }
}

Engine::~Engine() = default;

void Engine::Offer(int subscription, std::vector<Delivery> batch, absl::Time now) {
  if (observer_ == nullptr) {
    for (Delivery& delivery : batch) Deal(subscription, std::move(delivery), now);
    return;
  }
  // Told topic by topic, as they lie in the batch. A record that was dealt is as good as the driver's again.
  std::string_view topic;
  size_t messages = 0, bytes = 0;
  for (Delivery& delivery : batch) {
    const Record& record = *delivery.record();
    if (!SameText(record.topic, topic)) {
      if (messages > 0) observer_->OnReceived(topic, std::exchange(messages, 0), std::exchange(bytes, 0));
      topic = record.topic;
    }
    ++messages;
    bytes += record.ByteSize();
    Deal(subscription, std::move(delivery), now);
  }
  if (messages > 0) observer_->OnReceived(topic, messages, bytes);
}

std::optional<Engine::Work> Engine::Take(absl::Time now) {
  Tick(now);
  if (suspect_running_) return std::nullopt;
  if (!suspects_.empty()) {
    if (Task* suspect = NextSuspect(now)) return TakeSuspect(suspect, now);
  }
  Work work{.id = ++last_work_};
  size_t most = 1;
  while (!ready_.empty() &&
         (work.lanes.empty() || (ready_.front()->handler == work.handler && work.tasks.size() < most))) {
    Lane* lane = ready_.front();
    ready_.pop_front();
    lane->queued = false;
    HandlerState& state = *states_[lane->handler];
    if (work.lanes.empty()) {
      if (state.running >= state.concurrency) {
        lane->queued = true;
        state.waiting.push_back(lane);
        continue;
      }
      most = state.is_batch ? state.options->batch.max : state.one_at_a_time ? 1 : state.quantum;
      if (state.bucket.limited() && lane->head != nullptr) {
        const size_t wanted = std::min(state.is_batch ? std::min(most, lane->depth) : 1, state.bucket.burst());
        most = std::min(most, state.bucket.Available(now));
        if (most < wanted) {
          Throttle(lane, wanted, now);
          continue;
        }
      }
    }
    const bool taken = TakeFrom(lane, most, work, now);
    if (!taken) ReadyNextWaiting(state);  // It used its turn for nothing.
    if (taken && state.is_batch) break;
  }
  if (work.lanes.empty()) {
    Task* const suspect = suspects_.empty() ? nullptr : NextSuspect(now);
    return suspect == nullptr ? std::nullopt : TakeSuspect(suspect, now);
  }
  HandlerState& state = *states_[work.handler];
  if (state.bucket.limited()) state.bucket.Take(work.tasks.size(), now);
  ++state.running;
  ++running_;
  // An unordered lane serves the next worker at once.
  if (!work.lanes.back()->ordered) MakeReady(work.lanes.back(), now);
  return work;
}

void Engine::Finish(const Work& work, std::vector<Outcome>& outcomes, absl::Duration took, absl::Time now) {
  HandlerState& state = *states_[work.handler];
  if (took > kLongWork) {
    state.quantum = took > kLongWork * work.tasks.size() ? 1 : std::max<size_t>(1, state.quantum / 2);
  } else if (took < kShortWork && work.tasks.size() >= state.quantum) {
    state.quantum = std::min(kMaxQuantum, state.quantum * 2);
  }
  bool leaves = true;
  for (size_t i = 0; i < work.tasks.size(); ++i) {
    Task* task = work.tasks[i];
    if (task == nullptr || outcomes[i].not_begun) continue;
    if (!outcomes[i].deferred) {
      End(task, outcomes[i], now);
      continue;
    }
    // Else it was completed before, and waits again or is another one by now.
    const bool runs = task->work == work.id && task->running_since != absl::InfinitePast();
    if (outcomes[i].keeps_lane) {
      leaves = false;
      if (runs) task->deferred = true;
    } else if (runs) {
      task->lane = nullptr;  // It goes on without it.
    }
  }
  for (size_t i = work.tasks.size(); i-- > 0;) {  // To the front, one after the other: they keep their order.
    if (work.tasks[i] != nullptr && outcomes[i].not_begun) PutBack(work.tasks[i], now);
  }
  if (leaves) Leave(work.handler, work.lanes, now);
}

void Engine::Complete(Task* task, Outcome outcome, absl::Time now) {
  const int handler = task->handler;
  Lane* lane = task->lane;
  End(task, outcome, now);
  if (outcome.keeps_lane) Leave(handler, lane != nullptr ? absl::MakeSpan(&lane, 1) : absl::Span<Lane* const>(), now);
}

void Engine::Tick(absl::Time now) {
  while (!resettle_.empty() && resettle_.begin()->first <= now) {
    auto due = resettle_.extract(resettle_.begin());
    Settlement& settlement = due.mapped();
    settlement.status = absl::OkStatus();
    out_[settlement.subscription].push_back(std::move(settlement));
  }
  OpenWhatIsDue(now);
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    Lane* lane = timers_.begin()->second;
    timers_.erase(timers_.begin());
    lane->timer = absl::InfiniteFuture();
    MakeReady(lane, now);
  }
}

std::vector<std::pair<int, std::vector<Settlement>>> Engine::TakeSettlements() {
  std::vector<std::pair<int, std::vector<Settlement>>> all;
  for (int s = 0; s < subscriptions_; ++s) {
    if (!out_[s].empty()) all.emplace_back(s, std::exchange(out_[s], {}));
  }
  return all;
}

absl::Time Engine::NextEvent() const {
  absl::Time next = absl::InfiniteFuture();
  if (!timers_.empty()) next = timers_.begin()->first.first;
  if (!resettle_.empty()) next = std::min(next, resettle_.begin()->first);
  if (!openings_.empty()) next = std::min(next, openings_.begin()->first);
  return next;
}

std::vector<std::string> Engine::RunningHandlers() const {
  std::vector<std::string> names;
  for (size_t i = 0; i < states_.size(); ++i) {
    if (states_[i]->running > 0) names.push_back(handlers_[i].name);
  }
  return names;
}

std::vector<HandlerProgress> Engine::Progress(absl::Time now) const {
  std::vector<HandlerProgress> all(handlers_.size());
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].name = handlers_[i].name;
    all[i].topics = handlers_[i].options->topics;
    all[i].gate = GateOf(static_cast<int>(i));
    for (const std::string& topic : all[i].topics) {
      if (paused_topics_.contains(topic)) all[i].paused_topics.push_back(topic);
    }
  }
  const auto count = [&all, now](const Task& task) {
    HandlerProgress& progress = all[task.handler];
    if (task.running_since != absl::InfinitePast()) {
      ++progress.running;
      progress.longest = std::max(progress.longest, now - task.running_since);
    } else if (task.lane != nullptr || task.alone || task.parked) {
      ++progress.waiting;
    }
  };
  for (const auto& hold : holds_) {
    if (!hold->active) continue;
    for (size_t i = 0; i < hold->tasks; ++i) count(i == 0 ? hold->first : *hold->more[i - 1]);
  }
  return all;
}

double Engine::Random() {  // splitmix64, Steele, Lea, Flood 2014
  uint64_t z = (random_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1.0p-53;
}

Engine::Hold* Engine::NewHold(int subscription, Delivery delivery) {
  if (free_holds_.empty()) {
    holds_.push_back(std::make_unique<Hold>());
    free_holds_.push_back(holds_.back().get());
  }
  Hold* hold = free_holds_.back();
  free_holds_.pop_back();
  hold->active = true;
  hold->begun = hold->revoked = hold->withdrawn = hold->release = false;
  hold->subscription = subscription;
  hold->open_tasks = 0;
  hold->tasks = 0;
  hold->parked = 0;
  hold->bytes = delivery.record()->ByteSize();
  hold->delivery = std::move(delivery);
  ++in_hand_;
  bytes_in_hand_ += hold->bytes;
  return hold;
}

void Engine::Forget(Hold* hold) {
  hold->active = false;
  hold->copies.reset();
  hold->delivery = Delivery();
  free_holds_.push_back(hold);
}

}  // namespace messaging
