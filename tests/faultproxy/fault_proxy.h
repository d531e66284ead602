// A bad network between clients and a server of a test: late, slow, silent, in pieces, cut off.
#ifndef TESTS_FAULTPROXY_FAULT_PROXY_H_
#define TESTS_FAULTPROXY_FAULT_PROXY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace messaging::faultproxy {

// What one direction suffers. All of it together; {} is a good network.
struct Faults {
  absl::Duration delay;          // Each byte comes so much later ...
  absl::Duration jitter;         // ... and up to so much more; order stays.
  int64_t bytes_per_second = 0;  // 0: as fast as it goes.
  bool silent = false;           // Nothing passes, and nobody is told; it comes when this is over.
  size_t slice = 0;              // At most so many bytes at a time; 0: as they come ...
  absl::Duration slice_pause;    // ... with pauses between them.
  int64_t cut_after = -1;        // A connection is reset when so many bytes of it have passed.
};

// Listens on a port of 127.0.0.1 and passes connections on to another port. Thread-safe.
class FaultProxy {
 public:
  explicit FaultProxy(int server_port);
  ~FaultProxy();
  FaultProxy(const FaultProxy&) = delete;
  FaultProxy& operator=(const FaultProxy&) = delete;

  int port() const { return port_; }
  // For connections that there are, and those to come.
  void SetToServer(Faults faults) { Set(0, faults); }
  void SetToClient(Faults faults) { Set(1, faults); }
  void Heal();  // A good network in both directions, and up.
  // Resets all connections, once.
  void Reset();
  // Resets all connections, and each new one at once, until Heal.
  void Down();

  int64_t accepted() const;  // Connections, ever.
  // Waits until silence has kept so many bytes from clients since SetToClient; with a Reset they are lost. False:
  // `limit` passed first.
  bool AwaitUnheard(int64_t bytes, absl::Duration limit) const;

 private:
  struct Connection;
  void Set(int direction, const Faults& faults);
  void ResetAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Accept();
  void Pump(Connection& connection, int direction);
  void Forget();

  const int server_port_;
  const int listener_;
  int port_ = 0;
  mutable absl::Mutex mutex_;
  Faults faults_[2] ABSL_GUARDED_BY(mutex_);
  bool down_ ABSL_GUARDED_BY(mutex_) = false;
  bool ends_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t accepted_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t silenced_[2] ABSL_GUARDED_BY(mutex_) = {};  // Bytes, since the direction's faults were set.
  std::minstd_rand random_ ABSL_GUARDED_BY(mutex_){1};
  std::vector<std::unique_ptr<Connection>> connections_ ABSL_GUARDED_BY(mutex_);
  std::thread acceptor_;
};

}  // namespace messaging::faultproxy

#endif  // TESTS_FAULTPROXY_FAULT_PROXY_H_
