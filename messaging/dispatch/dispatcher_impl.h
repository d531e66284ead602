// The dispatcher's inside: its life is in dispatcher.cc, workers and calls are in dispatcher_calls.cc.
#ifndef MESSAGING_DISPATCH_DISPATCHER_IMPL_H_
#define MESSAGING_DISPATCH_DISPATCHER_IMPL_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "messaging/dispatch/call_frame.h"
#include "messaging/dispatch/call_times.h"
#include "messaging/dispatch/dispatcher.h"
#include "messaging/dispatch/engine.h"
#include "messaging/internal/repeated_line.h"

namespace messaging {

// A call that runs for longer keeps nothing waiting but its own key.
inline constexpr absl::Duration kLongCall = absl::Milliseconds(20);
// Between two lines about the same thing that goes on.
inline constexpr absl::Duration kLinePause = absl::Minutes(1);

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

  absl::Status Start();
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
  absl::Status SetPaused(const std::string& handler, const std::string& topic, bool paused);

 private:
  // What the engine wants done, once the mutex is free.
  struct Orders {
    std::vector<std::pair<int, std::vector<Settlement>>> settlements;
    std::vector<Engine::GateChange> gates;
    bool wake = false;  // All subscriptions.
    bool empty() const { return settlements.empty() && gates.empty() && !wake; }
  };
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
    void Assigned(Assignment now) override { impl_->OnAssigned(index_, std::move(now)); }
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
    explicit LaneContext(const DispatcherOptions& options) : times(options.observer, *options.clock) {}

    std::shared_ptr<Scope> scope;
    CallTimes times;
    std::unique_ptr<CallFrame> spare;  // For the next call: a frame costs allocations.
    // Its calls, one after the other, while Engine::Unblock may take from them (under the lock) those that have not
    // begun.
    Engine::Work* work = nullptr;
    std::vector<Engine::Outcome>* outcomes = nullptr;
    std::atomic<size_t> begun{0};      // Past the number of tasks: none is left.
    std::pair<uint64_t, size_t> seen;  // Work and `begun` at the last look.
    uint32_t gates = 0;                // As they were when it got the work.
  };

  absl::Status StartAll();
  void OnDeliver(int subscription, std::vector<Delivery> batch);
  void OnSettled(int subscription, std::vector<Settlement> batch);
  Room RoomFor(int subscription);
  void OnWithdraw(int subscription, const std::function<bool(const Record&)>& which);
  void OnRevoke(int subscription, const std::function<bool(const Record&)>& which);
  void OnAssigned(int subscription, Assignment now);
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
  Orders TakeOrders() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Give(Orders orders);
  std::vector<int> TakeStarved() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteDeadLetters(const std::vector<Settlement>& batch);
  void NoteGate(const Engine::GateChange& change);
  std::string NoteRefusals(const std::vector<absl::Status>& why, size_t before) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WakeWorkers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ObserveOutcome(const Handler& handler, CallFrame& frame);
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
  std::vector<Assignment> assignments_ ABSL_GUARDED_BY(mutex_);  // By subscription.
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Worker>> workers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Worker>> stuck_ ABSL_GUARDED_BY(mutex_);  // In handlers that did not return.
  std::atomic<bool> draining_{false};  // As the engine knows it, for workers without the lock.
  std::atomic<uint32_t> gates_{0};     // Counts pauses: what a worker was given before the last is not begun any more.
  absl::Mutex log_mutex_;
  internal::RepeatedLine refusals_ ABSL_GUARDED_BY(mutex_){kLinePause};
  size_t refused_answers_ ABSL_GUARDED_BY(mutex_) = 0;  // Since settling began to fail.
  absl::Time refused_since_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::map<std::string, internal::RepeatedLine> dead_ ABSL_GUARDED_BY(log_mutex_);  // By handler.
  std::map<std::string, internal::RepeatedLine> late_ ABSL_GUARDED_BY(log_mutex_);
  LaneContext inline_lane_{options_};
  std::vector<std::unique_ptr<Sink>> sinks_;
  std::vector<std::shared_ptr<Subscription>> subscriptions_;  // Set before any worker runs.
};

}  // namespace messaging

#endif  // MESSAGING_DISPATCH_DISPATCHER_IMPL_H_
