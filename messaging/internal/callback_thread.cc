#include "messaging/internal/callback_thread.h"

#include <utility>
#include <vector>

namespace messaging::internal {

struct CallbackThread::State {
  absl::Mutex mutex;
  std::vector<std::function<void()>> tasks ABSL_GUARDED_BY(mutex);
  bool started ABSL_GUARDED_BY(mutex) = false;
  bool stopped ABSL_GUARDED_BY(mutex) = false;
  bool something_to_do() const ABSL_SHARED_LOCKS_REQUIRED(mutex) { return stopped || !tasks.empty(); }
};

CallbackThread::CallbackThread() : state_(std::make_shared<State>()) {}

void CallbackThread::Post(std::function<void()> task) {
  bool start = false;
  bool queued = false;
  {
    absl::MutexLock lock(&state_->mutex);
    if (!state_->stopped) {
      state_->tasks.push_back(std::move(task));
      start = !std::exchange(state_->started, true);
      queued = true;
    }
  }
  if (!queued) return task();
  if (!start) return;
  absl::MutexLock lock(&thread_mutex_);
  thread_ = std::thread([state = state_] { Run(state); });
}

void CallbackThread::Run(const std::shared_ptr<State>& state) {
  for (;;) {
    std::vector<std::function<void()>> tasks;
    {
      absl::MutexLock lock(&state->mutex);
      state->mutex.Await(absl::Condition(state.get(), &State::something_to_do));
      tasks.swap(state->tasks);
      if (tasks.empty()) return;  // Stopped.
    }
    for (std::function<void()>& task : tasks) {
      task();
      task = nullptr;  // What it holds is the user's, and goes now.
    }
  }
}

void CallbackThread::Stop() {
  {
    absl::MutexLock lock(&state_->mutex);
    state_->stopped = true;
  }
  absl::MutexLock lock(&thread_mutex_);
  if (!thread_.joinable()) return;
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

}  // namespace messaging::internal
