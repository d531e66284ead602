// Stands between clients and a server, to lose what a network loses.
#ifndef TESTS_SERVERS_RELAY_H_
#define TESTS_SERVERS_RELAY_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace messaging::servers {

// Listens on a port of 127.0.0.1 and passes every connection on to another. Thread-safe.
class Relay {
 public:
  explicit Relay(int server_port);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  int port() const { return port_; }
  // From now on what the server says is lost; it hears all that it is told.
  void LoseAnswers();
  // Waits until it has lost so many bytes of answers since then. False: `limit` passed first.
  bool AwaitLost(int64_t bytes, absl::Duration limit) const;
  // Resets every connection that there is. Those that come later pass, their answers, too.
  void Cut();

 private:
  struct Pair {
    int client, server;
  };
  void Run();
  void Accept();
  void Close(const Pair& pair);

  const int server_port_;
  const int listener_;
  int port_ = 0;
  const int wake_;
  mutable absl::Mutex mutex_;
  std::vector<Pair> pairs_ ABSL_GUARDED_BY(mutex_);
  bool loses_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t lost_ ABSL_GUARDED_BY(mutex_) = 0;
  std::atomic<bool> ends_{false};
  std::thread thread_;
};

}  // namespace messaging::servers

#endif  // TESTS_SERVERS_RELAY_H_
