// A driver's thread: everything that talks to a server on behalf of sends and subscriptions runs on it.
#ifndef MESSAGING_BROKER_IO_LOOP_H_
#define MESSAGING_BROKER_IO_LOOP_H_

#include <atomic>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace messaging::io {

// A connection that does not block.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual int fd() const = 0;
  virtual bool wants_write() const = 0;
  virtual absl::Status Flush() = 0;  // As far as the server takes it.
  virtual absl::Status Read() = 0;   // What is there; its owner is told.
};

// One thread that waits for all connections of its sources, and for what other threads post.
class Loop {
 public:
  // Something with connections. All of it runs on the loop's thread.
  class Source {
   public:
    virtual ~Source() = default;
    // Takes up what other threads asked for, what is due, and connects; adds to what its connections have to send.
    virtual void Step(absl::Time now) = 0;
    // When it wants the next step even if nothing happens.
    virtual absl::Time NextStep() = 0;
    // Those that are open, in an order that stays until the next Step.
    virtual std::vector<Stream*> Streams() = 0;
    // The connection failed; the source drops it.
    virtual void OnLost(Stream* stream, const absl::Status& why) = 0;
    // After what came together was read.
    virtual void AfterRead() {}
  };

  Loop();
  ~Loop();  // Stops.

  // Any thread. After Stop a task runs where it is posted.
  void Post(std::function<void()> task);
  void Notify();  // A Step is wanted.
  void Stop();    // Ends the thread when what was posted is done.

  // The loop's thread.
  void Add(std::shared_ptr<Source> source) { sources_.push_back(std::move(source)); }
  void Remove(const Source* source);

 private:
  void Run();
  bool RunTasks();
  void Wait();

  const int event_;
  std::atomic<bool> notified_{false};
  absl::Mutex mutex_;
  std::vector<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;

  std::vector<std::shared_ptr<Source>> sources_;
  std::thread thread_;
};

// When to try again: from 100 ms on twice as long each time, up to 2 s, each made shorter by up to a half at random.
class Backoff {
 public:
  absl::Duration Next();
  void Reset() { delay_ = kFirst; }

 private:
  static constexpr absl::Duration kFirst = absl::Milliseconds(100);
  absl::Duration delay_ = kFirst;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace messaging::io

#endif  // MESSAGING_BROKER_IO_LOOP_H_
