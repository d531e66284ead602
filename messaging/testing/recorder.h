// What the harness knows of attempts: the beginning from the handler's call, the end from the verdict.
#ifndef MESSAGING_TESTING_RECORDER_H_
#define MESSAGING_TESTING_RECORDER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/delivery.h"
#include "messaging/handler.h"
#include "messaging/observer.h"
#include "messaging/received.h"
#include "messaging/testing/harness.h"

namespace messaging::testing_internal {

// Thread-safe, as completions come from any thread. Completions keep it.
class Recorder : public Observer, public std::enable_shared_from_this<Recorder> {
 public:
  // The handler, its calls recorded.
  Handler Wrap(Handler handler);
  // The broker, its verdicts recorded. `broker` and this outlive it.
  std::unique_ptr<Broker> Wrap(Broker& broker);

  std::vector<HarnessEvent> handled() const;
  std::vector<HarnessEvent> retried() const;

  // For what Wrap makes.
  int64_t Begin(const std::string& handler, bool strict, const Received& received);
  void SetOutcome(int64_t attempt, const absl::Status& outcome);
  void OnSettle(const Settlement& settlement);

  // Strict order: the retry is the engine's matter, no verdict tells of it.
  void OnRetry(std::string_view handler, std::string_view topic, int attempts, absl::Duration delay) override;

 private:
  struct Attempt {
    HarnessEvent event;
    bool strict = false;
    bool retried = false;  // It has been listed.
  };
  bool IsFor(const Record& record, const std::string& handler) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  std::map<std::string, std::vector<std::string>> former_names_ ABSL_GUARDED_BY(mutex_);
  std::map<int64_t, Attempt> open_ ABSL_GUARDED_BY(mutex_);  // By number, so in the order of their calls.
  std::vector<HarnessEvent> handled_ ABSL_GUARDED_BY(mutex_);
  std::vector<HarnessEvent> retried_ ABSL_GUARDED_BY(mutex_);
  int64_t next_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace messaging::testing_internal

#endif  // MESSAGING_TESTING_RECORDER_H_
