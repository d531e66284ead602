#include "messaging/broker/io/loop.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "messaging/broker/clock.h"

namespace messaging::io {

Loop::Loop() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  thread_ = std::thread([this] {
    // The program's signals are the program's own; and a connection that is closed is no reason to end it (SIGPIPE).
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    Run();
  });
}

Loop::~Loop() {
  Stop();
  close(event_);
}

void Loop::Post(std::function<void()> task) {
  {
    absl::MutexLock lock(&mutex_);
    if (!ended_) {
      tasks_.push_back(std::move(task));
      task = nullptr;
    }
  }
  if (task) return task();
  Notify();
}

void Loop::Notify() {
  if (notified_.exchange(true)) return;
  const uint64_t one = 1;
  (void)!write(event_, &one, sizeof(one));
}

void Loop::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  Notify();
  if (thread_.joinable()) thread_.join();
}

void Loop::Remove(const Source* source) {
  std::erase_if(sources_, [source](const std::shared_ptr<Source>& each) { return each.get() == source; });
}

// False: it is to end. What was posted before that is done.
bool Loop::RunTasks() {
  while (true) {
    std::vector<std::function<void()>> tasks;
    {
      absl::MutexLock lock(&mutex_);
      if (tasks_.empty()) {
        ended_ = stopping_;
        return !stopping_;
      }
      tasks.swap(tasks_);
    }
    for (const std::function<void()>& task : tasks) task();
  }
}

void Loop::Run() {
  while (true) {
    notified_.store(false);
    if (!RunTasks()) break;
    const absl::Time now = Clock::Steady().Now();
    const std::vector<std::shared_ptr<Source>> sources = sources_;
    for (const std::shared_ptr<Source>& source : sources) {
      source->Step(now);
      for (Stream* stream : source->Streams()) {
        if (absl::Status status = stream->Flush(); !status.ok()) {
          source->OnLost(stream, status);
          break;  // It may have dropped the others, too.
        }
      }
    }
    Wait();
  }
  sources_.clear();
}

void Loop::Wait() {
  std::vector<pollfd> fds = {{event_, POLLIN, 0}};
  struct Polled {
    std::shared_ptr<Source> source;
    Stream* stream;
  };
  std::vector<Polled> polled;
  absl::Time next = absl::InfiniteFuture();
  for (const std::shared_ptr<Source>& source : sources_) {
    next = std::min(next, source->NextStep());
    for (Stream* stream : source->Streams()) {
      const auto events = static_cast<short>(POLLIN | (stream->wants_write() ? POLLOUT : 0));
      fds.push_back({stream->fd(), events, 0});
      polled.push_back({source, stream});
    }
  }
  int timeout = -1;
  if (next != absl::InfiniteFuture()) {
    const absl::Duration left = std::max(next - Clock::Steady().Now(), absl::ZeroDuration());
    timeout =
        static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1))), 60'000));
  }
  if (poll(fds.data(), fds.size(), timeout) <= 0) return;
  if (fds[0].revents != 0) {
    uint64_t ignored = 0;
    (void)!read(event_, &ignored, sizeof(ignored));
  }
  for (size_t i = 0; i < polled.size(); ++i) {
    if ((fds[i + 1].revents & ~POLLOUT) == 0) continue;
    Source& source = *polled[i].source;
    Stream* const stream = polled[i].stream;
    // Dropped meanwhile with another of its source's.
    const std::vector<Stream*> open = source.Streams();
    if (std::find(open.begin(), open.end(), stream) == open.end()) continue;
    const absl::Status status = stream->Read();
    source.AfterRead();
    if (!status.ok()) source.OnLost(stream, status);
  }
}

absl::Duration Backoff::Next() {
  const double share = std::uniform_real_distribution<double>(0.5, 1.0)(random_);
  const absl::Duration delay = delay_ * share;
  delay_ = std::min(delay_ * 2, absl::Seconds(2));
  return delay;
}

}  // namespace messaging::io
