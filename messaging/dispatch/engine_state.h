// The engine's inner structures; see engine.h for how they work together.
#ifndef MESSAGING_DISPATCH_ENGINE_STATE_H_
#define MESSAGING_DISPATCH_ENGINE_STATE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "messaging/dispatch/breaker.h"
#include "messaging/dispatch/engine.h"
#include "messaging/dispatch/token_bucket.h"

namespace messaging {

// First in, first out. Tasks are linked through themselves: dealing allocates nothing.
struct Engine::Lane {
  uint64_t id = 0;  // Orders what is due at the same time: the same inputs give the same run.
  int handler = 0;
  bool ordered = false;  // One Work at a time.
  bool busy = false;     // ordered: a Work of it is out.
  bool queued = false;   // In ready_ or in its handler's `waiting`.
  size_t depth = 0;
  Task* head = nullptr;
  Task* tail = nullptr;
  absl::Time timer = absl::InfiniteFuture();  // Its entry in timers_.
  // A lane of one held key: behind a call that takes long, or, in strict order, a failing message. Its head waits until
  // `timer`, then for its attempt's record.
  bool held = false;
  std::string key;
  Lane* behind = nullptr;  // held: of its key something may run there, which was first. It begins when that is free.
  bool awaited = false;    // Some lane is behind this one.

  void PushBack(Task* task) {
    task->next = nullptr;
    (tail != nullptr ? tail->next : head) = task;
    tail = task;
    ++depth;
  }
  void PushFront(Task* task) {
    task->next = head;
    head = task;
    if (tail == nullptr) tail = task;
    ++depth;
  }
  Task* PopFront() {
    Task* task = head;
    head = task->next;
    if (head == nullptr) tail = nullptr;
    task->next = nullptr;
    --depth;
    return task;
  }
};

// One delivery in hand.
struct Engine::Hold {
  Delivery delivery;
  int subscription = 0;
  int open_tasks = 0;
  size_t bytes = 0;
  bool active = false;
  bool begun = false;      // A handler has been called with it.
  bool revoked = false;    // It is no longer this member's: its settling does nothing.
  bool withdrawn = false;  // It will soon not be: what of it has not begun does not begin.
  bool release = false;
  bool shared = false;  // Several handlers have it.
  std::unique_ptr<std::vector<Copy>> copies;
  struct LentBegin {
    Task* task;
    int attempts;
    absl::Duration wait;
  };
  std::vector<LentBegin> begins;  // Records asked for while the delivery is lent for another handler's.
  Task first;                     // Most messages have one handler.
  std::vector<std::unique_ptr<Task>> more;
  size_t tasks = 0;
  size_t parked = 0;  // Of them.

  Task* AddTask() {
    ++open_tasks;
    if (tasks++ == 0) return &first;
    if (more.size() < tasks - 1) more.push_back(std::make_unique<Task>());
    return more[tasks - 2].get();
  }
};

struct Engine::HandlerState {
  explicit HandlerState(const HandlerOptions* its) : options(its), breaker(its->breaker), bucket(its->rate_limit) {}

  const HandlerOptions* const options;
  bool is_batch = false;
  bool one_at_a_time = false;  // Each Work has one task: asynchronous or strictly ordered handlers.
  size_t concurrency = 1;
  size_t running = 0;  // Works out.
  size_t quantum = 1;  // Tasks a Work, so that one takes well under a millisecond; learned.
  Lane unordered;
  std::vector<std::unique_ptr<Lane>> lanes;                        // Made when first used.
  std::deque<Lane*> waiting;                                       // Ready, but `concurrency` Works are out.
  std::map<std::string, std::unique_ptr<Lane>, std::less<>> held;  // Keys with a lane of their own.

  bool paused = false;
  CircuitBreaker breaker;
  TokenBucket bucket;
  Task* probe = nullptr;  // What a half-open breaker has let through; it waits or runs.
  std::deque<Task*> parked;
  std::string last_probed_key;  // Of those that are held.
  Gate told = Gate::kOpen;

  bool strict() const { return options->order == Order::kPerKeyStrict; }
  bool closed() const { return paused || breaker.state() != CircuitBreaker::State::kClosed; }
  bool half_open() const { return !paused && breaker.state() == CircuitBreaker::State::kHalfOpen; }
};

}  // namespace messaging

#endif  // MESSAGING_DISPATCH_ENGINE_STATE_H_
