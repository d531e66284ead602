#include "tests/faultproxy/fault_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <string>
#include <utility>

#include "absl/time/clock.h"

namespace messaging::faultproxy {
namespace {

constexpr size_t kMostHeld = 1 << 20;  // Of one direction; then nothing more is read.
constexpr absl::Duration kLook = absl::Milliseconds(20);

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

int NewSocket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) std::abort();
  return fd;
}

bool SendAll(int to, const std::string& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t n = send(to, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

// A reset, no goodbye.
void CloseHard(int fd) {
  const linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  close(fd);
}

// Bytes on their way, in order, each part with the time of its arrival.
class Way {
 public:
  void Add(std::string bytes, const Faults& faults, absl::Duration late) {
    const size_t slice = faults.slice == 0 ? bytes.size() : faults.slice;
    for (size_t at = 0; at < bytes.size(); at += slice) {
      std::string part = bytes.substr(at, slice);
      absl::Time due = std::max(last_due_, absl::Now() + late);
      if (faults.slice > 0 && at > 0) due += faults.slice_pause;
      if (faults.bytes_per_second > 0) {
        due += absl::Seconds(static_cast<double>(part.size()) / static_cast<double>(faults.bytes_per_second));
      }
      last_due_ = due;
      held_ += part.size();
      parts_.emplace_back(due, std::move(part));
    }
  }
  bool full() const { return held_ >= kMostHeld; }
  bool empty() const { return parts_.empty(); }
  absl::Time due() const { return parts_.empty() ? absl::InfiniteFuture() : parts_.front().first; }
  std::string Take() {
    std::string bytes = std::move(parts_.front().second);
    parts_.pop_front();
    held_ -= bytes.size();
    return bytes;
  }

 private:
  std::deque<std::pair<absl::Time, std::string>> parts_;
  absl::Time last_due_ = absl::InfinitePast();
  size_t held_ = 0;
};

}  // namespace

struct FaultProxy::Connection {
  int client = -1;
  int server = -1;
  std::atomic<bool> reset{false};  // Both directions end, and it is closed hard.
  std::atomic<int> ended{0};       // Directions.
  std::thread ways[2];
};

FaultProxy::FaultProxy(int server_port) : server_port_(server_port), listener_(NewSocket()) {
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 128) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::abort();
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

FaultProxy::~FaultProxy() {
  {
    absl::MutexLock lock(&mutex_);
    ends_ = true;
  }
  Reset();
  acceptor_.join();
  close(listener_);
}

void FaultProxy::Set(int direction, const Faults& faults) {
  absl::MutexLock lock(&mutex_);
  faults_[direction] = faults;
  silenced_[direction] = 0;
}

void FaultProxy::Heal() {
  absl::MutexLock lock(&mutex_);
  faults_[0] = faults_[1] = {};
  down_ = false;
}

void FaultProxy::Reset() {
  absl::MutexLock lock(&mutex_);
  ResetAll();
}

void FaultProxy::ResetAll() {
  for (const auto& connection : connections_) {
    connection->reset = true;
    shutdown(connection->client, SHUT_RDWR);  // Whoever sends may be waiting for a reader.
    shutdown(connection->server, SHUT_RDWR);
  }
}

void FaultProxy::Down() {
  absl::MutexLock lock(&mutex_);
  down_ = true;
  ResetAll();
}

int64_t FaultProxy::accepted() const {
  absl::MutexLock lock(&mutex_);
  return accepted_;
}

bool FaultProxy::AwaitUnheard(int64_t bytes, absl::Duration limit) const {
  auto unheard = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return silenced_[1] >= bytes; };
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&unheard), limit);
}

// Joins what has ended.
void FaultProxy::Forget() {
  std::vector<std::unique_ptr<Connection>> over;
  {
    absl::MutexLock lock(&mutex_);
    for (auto& connection : connections_) {
      if (connection->ended == 2) over.push_back(std::move(connection));
    }
    std::erase(connections_, nullptr);
  }
  for (const auto& connection : over) {
    for (std::thread& way : connection->ways) way.join();
    CloseHard(connection->client);
    CloseHard(connection->server);
  }
}

void FaultProxy::Accept() {
  while (true) {
    Forget();
    {
      absl::MutexLock lock(&mutex_);
      if (ends_ && connections_.empty()) return;
    }
    pollfd ready = {listener_, POLLIN, 0};
    if (poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(kLook))) <= 0) continue;
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    const int server = NewSocket();
    const int yes = 1;
    for (const int fd : {client, server}) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    const sockaddr_in address = Loopback(server_port_);
    absl::MutexLock lock(&mutex_);
    ++accepted_;
    if (down_ || ends_ || connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      CloseHard(client);
      close(server);
      continue;
    }
    connections_.push_back(std::make_unique<Connection>());
    Connection& connection = *connections_.back();
    connection.client = client;
    connection.server = server;
    for (int i = 0; i < 2; ++i) connection.ways[i] = std::thread([this, &connection, i] { Pump(connection, i); });
  }
}

void FaultProxy::Pump(Connection& connection, int direction) {
  const int from = direction == 0 ? connection.client : connection.server;
  const int to = direction == 0 ? connection.server : connection.client;
  std::vector<char> buffer(16 << 10);
  Way way;
  int64_t passed = 0;
  bool open = true;
  Faults faults;
  while (!connection.reset && (open || !way.empty())) {
    const absl::Duration wait = std::clamp(way.due() - absl::Now(), absl::ZeroDuration(), kLook);
    pollfd ready = {open && !way.full() ? from : -1, POLLIN, 0};
    poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(faults.silent ? kLook : wait)));
    absl::Duration late;
    {  // As they are now, not as they were before the wait.
      absl::MutexLock lock(&mutex_);
      faults = faults_[direction];
      late = faults.delay + faults.jitter * std::uniform_real_distribution<double>(0, 1)(random_);
    }
    if (ready.revents != 0) {
      const ssize_t n = recv(from, buffer.data(), buffer.size(), 0);
      if (n < 0) connection.reset = true;
      if (n <= 0) open = false;
      if (n > 0) way.Add(std::string(buffer.data(), static_cast<size_t>(n)), faults, late);
      if (n > 0 && faults.silent) {
        absl::MutexLock lock(&mutex_);
        silenced_[direction] += n;
      }
    }
    while (!faults.silent && !connection.reset && way.due() <= absl::Now()) {
      std::string bytes = way.Take();
      const bool cut = faults.cut_after >= 0 && passed + static_cast<int64_t>(bytes.size()) >= faults.cut_after;
      if (cut) bytes.resize(static_cast<size_t>(std::max<int64_t>(faults.cut_after - passed, 0)));
      passed += static_cast<int64_t>(bytes.size());
      if (!SendAll(to, bytes) || cut) connection.reset = true;
    }
  }
  // A goodbye is passed on; a reset is one for both.
  shutdown(to, connection.reset ? SHUT_RDWR : SHUT_WR);
  if (connection.reset) shutdown(from, SHUT_RDWR);
  ++connection.ended;
}

}  // namespace messaging::faultproxy
