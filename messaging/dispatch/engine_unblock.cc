// What waits for a call that takes long, and need not.
#include <utility>

#include "messaging/dispatch/engine.h"
#include "messaging/dispatch/engine_state.h"

namespace messaging {

void Engine::Unblock(Work& work, std::vector<Outcome>& outcomes, size_t begun, absl::Time now) {
  const size_t running = begun - 1;
  for (size_t i = 0; i < running; ++i) {
    Task* task = std::exchange(work.tasks[i], nullptr);
    if (task != nullptr && !outcomes[i].deferred) End(task, outcomes[i], now);
  }
  for (size_t i = work.tasks.size(); i-- > begun;) {  // From behind, each to the front: in the order that they had.
    Task* task = std::exchange(work.tasks[i], nullptr);
    if (task == nullptr) continue;
    if (draining_ || task->hold->revoked) {
      End(task, {.status = absl::CancelledError("draining")}, now);
      continue;
    }
    task->begun = false;
    if (!task->hold->shared) task->hold->begun = false;
    task->running_since = absl::InfinitePast();
    if (Blocked(*task)) {
      task->lane = nullptr;
      Park(task, /*in_front=*/true);
    } else {
      task->lane->PushFront(task);
    }
  }
  Task* task = work.tasks[running];
  // Else it has just ended, as a deferred one, and was completed before its worker came to say so.
  const bool runs = task != nullptr && task->work == work.id && task->lane != nullptr;
  Lane* const own = runs ? MoveToOwnLane(task) : nullptr;
  absl::InlinedVector<Lane*, 8> lanes = std::exchange(work.lanes, {});
  if (own != nullptr) work.lanes.push_back(own);
  for (Lane* lane : lanes) {
    if (lane == own && lane->busy) continue;  // Nothing of it begins; what is in no order does.
    Free(lane, now);
  }
}

void Engine::UnblockDeferred(absl::Time before, absl::Time now) {
  for (const auto& hold : holds_) {
    if (!hold->active) continue;
    for (size_t i = 0; i < hold->tasks; ++i) {
      Task& task = i == 0 ? hold->first : *hold->more[i - 1];
      if (!task.deferred || task.lane == nullptr || task.running_since >= before) continue;
      Lane* const lane = task.lane;
      if (MoveToOwnLane(&task) == lane) continue;
      Free(lane, now);
    }
  }
}

// Where a task that runs keeps only its own key waiting; its lane, where that is so already.
Engine::Lane* Engine::MoveToOwnLane(Task* task) {
  if (!task->lane->ordered || task->lane->held) return task->lane;
  task->lane = HeldLane(task);
  task->lane->busy = true;
  return task->lane;
}

}  // namespace messaging
