// The engine's Call: one message, or a batch, on its way through a handler.
#ifndef MESSAGING_DISPATCH_CALL_FRAME_H_
#define MESSAGING_DISPATCH_CALL_FRAME_H_

#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "messaging/call.h"
#include "messaging/dispatch/call_times.h"
#include "messaging/internal/joining_sender.h"
#include "messaging/internal/send_join.h"
#include "messaging/producer.h"
#include "messaging/provide.h"
#include "messaging/received.h"
#include "messaging/tracer.h"

namespace messaging {

// Used by one thread at a time. For an asynchronous handler it lives on the heap until the completion was called.
class CallFrame : public Call, private internal::TraceSource {
 public:
  struct Verdict {
    absl::Status status;
    bool rejected = false;
    bool given = false;
  };

  // `lane` is the parent of this call's own scope.
  CallFrame(const Providers& providers, std::shared_ptr<Scope> lane, Producer& producer)
      : lane_(std::move(lane)), scope_(providers, Lifetime::kMessage, lane_.get()), producer_(producer) {
    join_.set_trace(this);
  }
  ~CallFrame() override { EndSpan(); }

  // For the next call, when the last one ended on this thread and made no sends.
  void Reset() {
    received_.clear();
    verdicts_.clear();
    trace_known_ = false;
  }
  void Add(Received received) {
    received_.push_back(received);
    verdicts_.emplace_back();
  }
  // What Defer's completion calls; set for asynchronous handlers.
  void set_finish(Completion::Finish finish) { finish_ = std::move(finish); }

  absl::Span<const Received> messages() const override { return received_; }
  Scope& scope() override { return scope_; }
  Sender& sender() override;
  void SetOutcome(size_t i, absl::Status outcome) override { verdicts_[i] = {std::move(outcome), false, true}; }
  void Reject(size_t i, absl::Status why) override { verdicts_[i] = {std::move(why), true, true}; }
  Completion Defer() override;

  // The call as a span, from before Invoke to EndSpan, which comes when all verdicts are final.
  void StartSpan(Tracer& tracer, std::string_view system);
  void EndSpan();
  // Finds the trace that its sends continue, for a call whose sends may come from other threads.
  void LoadTrace() { (void)Trace(); }
  // Calls the handler, with sends joined and exceptions caught. Afterwards every message has a verdict, or it is
  // deferred.
  void Invoke(const std::function<void(Call&)>& handler);
  bool deferred() const { return deferred_; }
  // What Invoke, or an asynchronous handler until its completion, took.
  void set_times(CallTimes::Times times) { times_ = times; }
  const CallTimes::Times& times() const { return times_; }
  internal::SendJoin& join() { return join_; }
  std::vector<Verdict>& verdicts() { return verdicts_; }
  // The outcome of the call's sends: where they were not all accepted, the messages that are OK so far have failed.
  void JoinSends(const absl::Status& sent);
  bool AnyOk() const;
  // Commits or rolls back the per-message objects; a failed commit fails the messages.
  void FinishScope();

 private:
  // A completion may be called, or destroyed, while the handler still runs: its outcome waits until that returned.
  struct Deferral {
    absl::Mutex mutex;
    bool returned ABSL_GUARDED_BY(mutex) = false;
    std::optional<absl::Status> early ABSL_GUARDED_BY(mutex);
    Completion::Finish finish ABSL_GUARDED_BY(mutex);
  };

  void Returned(const absl::Status& thrown);
  void FailOk(const absl::Status& why);
  const TraceContext* Trace() override;

  const std::shared_ptr<Scope> lane_;
  std::vector<Received> received_;
  std::vector<Verdict> verdicts_;
  CallTimes::Times times_;
  internal::SendJoin join_;
  Scope scope_;
  Producer& producer_;
  std::optional<internal::JoiningSender> sender_;
  Completion::Finish finish_;
  bool deferred_ = false;
  std::shared_ptr<Deferral> deferral_;  // Shared with the completion.
  std::unique_ptr<Span> span_;
  bool trace_known_ = false;
  std::optional<TraceContext> trace_;
};

}  // namespace messaging

#endif  // MESSAGING_DISPATCH_CALL_FRAME_H_
