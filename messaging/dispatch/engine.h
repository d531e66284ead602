// The engine: decides which message is handled when, by which handler, and what becomes of it. A state machine without
// thread, lock, clock or I/O: inputs are events with a time, outputs are work to run and verdicts to settle. The
// dispatcher (dispatcher.h) drives it in production, the simulator (tests/simulation) from a seed.
//
// A message in hand (Hold) has a Task for each handler that is to be called with it. Tasks wait in lanes: one for each
// bucket of keys of a handler, first in first out, one task at a time; those without order in a lane that any number of
// workers may take from. When all tasks of a hold have ended it is settled: acknowledged, after copies for those that
// failed.
//
// Suspects (redelivered after an unclean end) wait in a queue of their own. While it is not empty nothing new begins;
// its head runs alone, after its attempt was recorded, so that a crash is counted to the message that was running, and
// to no other.
//
// Strict order: a failing task keeps its delivery and waits in a lane of its key's own; later tasks of the key join it
// there. So they do behind a call that takes long (Unblock): other keys of its lane, and what was to be called after it
// by the same worker, do not wait for it.
//
// What may not begin for now, as its handler or topic is paused or the handler's breaker is open, waits in no lane but
// is parked, in order. Of a breaker that is half-open one task is let through: the probe.
#ifndef MESSAGING_DISPATCH_ENGINE_H_
#define MESSAGING_DISPATCH_ENGINE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/delivery.h"
#include "messaging/handler_options.h"
#include "messaging/observer.h"
#include "messaging/progress.h"

namespace messaging {

// A handler as the engine sees it.
struct EngineHandler {
  std::string name;
  const HandlerOptions* options = nullptr;
  int subscription = 0;  // Which subscription (group) its messages come from.
  bool is_batch = false;
  bool is_async = false;
};

struct EngineLimits {
  size_t max_messages = 2'000;  // In hand, over all subscriptions.
  size_t max_bytes = 64 << 20;
  int concurrency = 8;  // For handlers that name none.
};

class Engine {
 public:
  struct Lane;
  struct Hold;
  // One message for one handler.
  struct Task {
    Hold* hold = nullptr;
    Record* record = nullptr;  // Of the hold's delivery.
    Lane* lane = nullptr;
    Task* next = nullptr;
    int handler = 0;
    int attempt = 1;  // Which attempt it is, once it is taken.
    int stored = 0;   // Attempts that the broker knows of ...
    int asked = 0;    // ... and those that it is asked to record.
    absl::Time arrived;
    absl::Time running_since = absl::InfinitePast();  // A call was begun with it; past: none runs.
    absl::Time not_before = absl::InfinitePast();     // Strict order: it waits for its retry until then.
    bool begun = false;                               // It has been called at least once.
    bool record_first = false;   // Its coming attempt has to be recorded durably before it begins ...
    bool recorded = false;       // ... and is.
    bool begin_asked = false;    // ... or will be, when Settled answers.
    bool noting = false;         // The record that is asked for is of its failure, not of its coming attempt.
    bool alone = false;          // In suspects_; `lane` is then the held key that waits for it, if any.
    bool release_after = false;  // Draining: released once its attempts so far are recorded.
    uint64_t work = 0;           // Which Work it was taken in.
    bool deferred = false;       // That one has ended and left it behind, in its lane: the outcome comes by Complete.
    bool parked = false;         // In its handler's `parked`; its `lane` is then as for `alone`.
  };
  // Tasks to run: one after the other, each a call of its own, or for a batch handler all in one call. Quick handlers
  // get several lanes at once.
  struct Work {
    uint64_t id = 0;
    int handler = 0;
    absl::InlinedVector<Lane*, 8> lanes;
    std::vector<Task*> tasks;  // Null where Unblock took it out.
  };
  struct Outcome {
    absl::Status status;
    bool rejected = false;   // Not given to the handler: does not decode or validate.
    bool not_begun = false;  // It was taken, and its handler paused before it was called: as if not taken.
    bool deferred = false;   // Comes later, by Complete. The task must not be touched through the Work any more.
    bool keeps_lane =
        true;  // deferred: nothing of its lane begins before (an asynchronous handler; not: awaited sends).
  };

  Engine(std::vector<EngineHandler> handlers, int subscriptions, EngineLimits limits, uint64_t seed,
         Observer* observer);
  ~Engine();  // Drops what is in hand: the brokers get it back.

  // Events.
  void Offer(int subscription, std::vector<Delivery> batch, absl::Time now);
  std::optional<Work> Take(absl::Time now);
  void Finish(const Work& work, std::vector<Outcome>& outcomes, absl::Duration took, absl::Time now);
  void Complete(Task* task, Outcome outcome, absl::Time now);  // A deferred outcome; `keeps_lane` as it was deferred.
  void Settled(int subscription, std::vector<Settlement> answers, absl::Time now);
  void Withdraw(int subscription, const std::function<bool(const Record&)>& which, absl::Time now);
  void Revoke(int subscription, const std::function<bool(const Record&)>& which);
  void Drain(absl::Time now);  // Releases what was not begun; what began may go on.
  void Abandon();             // The drain's time is over: releases all that does not run, and settles nothing any more.
  void Tick(absl::Time now);  // Moves what has become due; Take does it, too.
  // Something may wait for a call that need not. Not while there are suspects: nothing begins before them anyway.
  bool MayBlock() const { return running_ > 0 && in_hand_ > 1 && !suspect_running_ && suspects_.empty(); }
  // If MayBlock: a call of `work` takes long, that of its task `begun - 1`; those before have ended, with their
  // outcomes, and those after it nobody will call. Settles the former, puts the latter back, and lets no other key wait
  // for the call.
  void Unblock(Work& work, std::vector<Outcome>& outcomes, size_t begun, absl::Time now);
  // The same for the calls of asynchronous handlers that began before `before`.
  void UnblockDeferred(absl::Time before, absl::Time now);
  // What is paused is not begun: it waits in hand, in order, others go on. Does nothing to what runs.
  void PauseHandler(int handler, bool paused, absl::Time now);
  void PauseTopic(const std::string& topic, bool paused, absl::Time now);

  // Verdicts to give to the subscriptions since the last call, by subscription.
  std::vector<std::pair<int, std::vector<Settlement>>> TakeSettlements();
  // What subscription `s` may still deliver; an equal share of what is left. What is parked counts for at most half the
  // budget, and closes its topics when it has come to that, so that others go on.
  Room room(int subscription) const;
  bool HasRoomAgain() const;  // Enough of it to wake those who were told of none.
  // Since the last call: rooms have become larger or other ones; and handlers' gates that changed.
  struct GateChange {
    int handler = 0;
    Gate before = Gate::kOpen;
    Gate now = Gate::kOpen;
    std::string why;  // kTripped: what it saw.
  };
  bool TakeRoomsChanged() { return std::exchange(rooms_changed_, false); }
  std::vector<GateChange> TakeGateChanges() { return std::exchange(gate_changes_, {}); }
  absl::Time NextEvent() const;  // When Tick would do something.
  size_t ready() const {         // About how many calls of Take would succeed.
    return suspects_.empty() ? ready_.size() : gated_ ? 1 + ready_.size() : 1;
  }
  size_t in_hand() const { return in_hand_; }
  size_t bytes_in_hand() const { return bytes_in_hand_; }
  size_t refused() const { return refused_; }        // Verdicts that were refused and are to be given again.
  std::vector<std::string> RunningHandlers() const;  // Names, for whom a drain waits.
  // What each handler has in hand, in the order of handlers(); without groups. Walks through all that is in hand.
  std::vector<HandlerProgress> Progress(absl::Time now) const;
  const std::vector<EngineHandler>& handlers() const { return handlers_; }

 private:
  struct HandlerState;

  // Dealing (engine_deal.cc): from the broker to lanes, from lanes to workers.
  void Deal(int subscription, Delivery delivery, absl::Time now);
  const std::vector<int>& Targets(int subscription, const Record& record) const;
  int RecordedAttempts(const Task& task) const;
  void SplitSuspect(Hold* hold, const std::vector<int>& targets);
  void Enqueue(Task* task, absl::Time now);
  Lane* LaneFor(const Task& task);
  void MakeReady(Lane* lane, absl::Time now);
  void SetTimer(Lane* lane, absl::Time due);
  bool DivertToHeldKey(Task* task, absl::Time now);
  void PullKeyAhead(const Task& suspect);
  void AddSuspect(Task* task);
  Task* NextSuspect(absl::Time now);
  std::optional<Work> TakeSuspect(Task* task, absl::Time now);
  bool TakeFrom(Lane* lane, size_t most, Work& work, absl::Time now);
  void EraseIfDone(Lane* lane);
  void Free(Lane* lane, absl::Time now);
  void ReadyNextWaiting(HandlerState& state);
  Lane* MoveToOwnLane(Task* task);
  void Leave(int handler, absl::Span<Lane* const> lanes, absl::Time now);

  // Gates (engine_gate.cc): what may not begin for now.
  bool Blocked(const Task& task) const;
  void Place(Task* task, absl::Time now);
  void Park(Task* task, bool in_front = false);
  void Unpark(Task* task);
  void PutBack(Task* task, absl::Time now);
  bool PutBeforeSuspects(Task* task);
  void PutBackFailed(Task* task, Lane* lane, absl::Time now);
  void RegateAll(absl::Time now);
  void Regate(int handler, absl::Time now);
  void ParkBlocked(int handler);
  void Probe(int handler, absl::Time now);
  bool AdmitProbe(Task* task);
  void ProbeEnded(Task* task);
  bool Counts(Task* task, const Outcome& outcome, absl::Time now);
  void Throttle(Lane* lane, size_t wanted, absl::Time now);
  void OpenWhatIsDue(absl::Time now);
  Gate GateOf(int handler) const;
  bool Reads(const std::vector<int>& handlers) const;
  std::pair<size_t, size_t> Used() const;

  // Settling (engine_settle.cc): from outcomes to verdicts, and what the broker answers.
  void End(Task* task, const Outcome& outcome, absl::Time now);
  void AddCopy(Task* task, Copy::Kind kind, absl::Duration delay, absl::Status status, int attempts, absl::Time now);
  void DeadLetterAll(Hold* hold, std::string handler, absl::Status why, absl::Time now);
  void HoldForRetry(Task* task, absl::Duration delay, absl::Time now);
  Lane* HeldLane(Task* task);
  void ReleaseQueued(const std::function<bool(const Task&)>& which, absl::Time now);
  void ReleaseTask(Task* task, absl::Time now);
  void CloseTask(Task* task);
  void Settle(Hold* hold, Settlement::Verdict verdict);
  void AskBegin(Task* task, int attempts, absl::Duration wait);
  void AnswerBegin(Task* task, Settlement answer, absl::Time now);
  Hold* NewHold(int subscription, Delivery delivery);
  void Forget(Hold* hold);
  void Unqueue(Task* task, absl::Time now);
  std::vector<Task*> DropQueued(const std::function<bool(const Task&)>& which);
  double Random();

  const std::vector<EngineHandler> handlers_;
  const int subscriptions_;
  const EngineLimits limits_;
  Observer* const observer_;
  uint64_t random_;
  std::vector<std::unique_ptr<HandlerState>> states_;
  // By topic; and by name, current or former, for retries. Keys: subscription, then the text.
  std::vector<absl::flat_hash_map<std::string, std::vector<int>>> by_topic_;
  std::vector<absl::flat_hash_map<std::string, std::vector<int>>> by_name_;
  std::deque<Lane*> ready_;
  std::map<std::pair<absl::Time, uint64_t>, Lane*> timers_;  // Batches that wait, held keys.
  std::multimap<absl::Time, Settlement> resettle_;           // Refused, to be tried again.
  std::deque<Task*> suspects_;
  bool suspect_running_ = false;
  bool gated_ = false;  // Something is paused, or some breaker not closed.
  std::set<std::string, std::less<>> paused_topics_;
  std::set<std::pair<absl::Time, int>> openings_;  // When handlers may begin something again: breakers, rate limits.
  size_t parked_ = 0;                              // Holds with parked tasks.
  size_t parked_bytes_ = 0;
  bool rooms_changed_ = false;
  std::vector<GateChange> gate_changes_;
  std::vector<std::vector<Settlement>> out_;
  std::vector<std::unique_ptr<Hold>> holds_;  // All that were ever made: a pool.
  std::vector<Hold*> free_holds_;
  uint64_t next_lane_ = 0;
  uint64_t last_work_ = 0;
  size_t running_ = 0;  // Works taken that have not left their lane.
  size_t refused_ = 0;
  size_t in_hand_ = 0;
  size_t bytes_in_hand_ = 0;
  bool draining_ = false;
  bool abandoned_ = false;
};

}  // namespace messaging

#endif  // MESSAGING_DISPATCH_ENGINE_H_
