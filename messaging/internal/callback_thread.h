// The thread on which a producer's Then callbacks run.
#ifndef MESSAGING_INTERNAL_CALLBACK_THREAD_H_
#define MESSAGING_INTERNAL_CALLBACK_THREAD_H_

#include <functional>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace messaging::internal {

// Runs tasks one after the other, in the order of posting. Thread-safe. The thread starts with the first task.
class CallbackThread {
 public:
  CallbackThread();
  ~CallbackThread() { Stop(); }

  // After Stop: runs the task at once, on the caller's thread.
  void Post(std::function<void()> task);
  // Returns when all that was posted has run; called by a task, at once, and the rest runs later.
  void Stop();

 private:
  struct State;
  static void Run(const std::shared_ptr<State>& state);

  std::shared_ptr<State> state_;  // Shared with the thread, which outlives this when a task ends it.
  absl::Mutex thread_mutex_;
  std::thread thread_ ABSL_GUARDED_BY(thread_mutex_);
};

}  // namespace messaging::internal

#endif  // MESSAGING_INTERNAL_CALLBACK_THREAD_H_
