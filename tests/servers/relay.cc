#include "tests/servers/relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace messaging::servers {
namespace {

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

// False: the connection is over.
bool Pass(int from, int to, char* buffer, size_t size, ssize_t& n) {
  n = recv(from, buffer, size, 0);
  if (n <= 0) return false;
  for (ssize_t sent = 0; to >= 0 && sent < n;) {
    const ssize_t more = send(to, buffer + sent, static_cast<size_t>(n - sent), MSG_NOSIGNAL);
    if (more <= 0) return false;
    sent += more;
  }
  return true;
}

}  // namespace

Relay::Relay(int server_port)
    : server_port_(server_port), listener_(NewSocket()), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 16) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::abort();
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Run(); });
}

Relay::~Relay() {
  ends_ = true;
  eventfd_write(wake_, 1);
  thread_.join();
  Cut();
  close(listener_);
  close(wake_);
}

void Relay::LoseAnswers() {
  absl::MutexLock lock(&mutex_);
  loses_ = true;
  lost_ = 0;
}

bool Relay::AwaitLost(int64_t bytes, absl::Duration limit) const {
  auto lost = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return lost_ >= bytes; };
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&lost), limit);
}

void Relay::Cut() {
  absl::MutexLock lock(&mutex_);
  for (const Pair& pair : pairs_) Close(pair);
  pairs_.clear();
  loses_ = false;
  eventfd_write(wake_, 1);
}

void Relay::Close(const Pair& pair) {
  const linger now = {.l_onoff = 1, .l_linger = 0};  // A reset, no goodbye.
  setsockopt(pair.client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  close(pair.client);
  close(pair.server);
}

void Relay::Accept() {
  const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  const int server = NewSocket();
  const int yes = 1;
  for (const int fd : {client, server}) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  const sockaddr_in address = Loopback(server_port_);
  if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return Close({client, server});
  }
  absl::MutexLock lock(&mutex_);
  pairs_.push_back({client, server});
}

void Relay::Run() {
  std::vector<char> buffer(64 << 10);
  while (!ends_) {
    std::vector<pollfd> fds = {{wake_, POLLIN, 0}, {listener_, POLLIN, 0}};
    {
      absl::MutexLock lock(&mutex_);
      for (const Pair& pair : pairs_) {
        fds.push_back({pair.client, POLLIN, 0});
        fds.push_back({pair.server, POLLIN, 0});
      }
    }
    if (poll(fds.data(), fds.size(), -1) < 0) continue;
    eventfd_t ignored;
    if (fds[0].revents != 0) eventfd_read(wake_, &ignored);
    if (fds[1].revents != 0) Accept();
    // With the lock: nobody closes what is read here. Clients of a test take their answers.
    absl::MutexLock lock(&mutex_);
    std::erase_if(pairs_, [&](const Pair& pair) {
      bool goes_on = true;
      for (const pollfd& fd : fds) {
        if (fd.revents == 0 || (fd.fd != pair.client && fd.fd != pair.server)) continue;
        const bool answer = fd.fd == pair.server;
        ssize_t n = 0;
        goes_on = goes_on && Pass(fd.fd,
                                  !answer  ? pair.server
                                  : loses_ ? -1
                                           : pair.client,
                                  buffer.data(), buffer.size(), n);
        if (answer && loses_ && n > 0) lost_ += n;
      }
      if (!goes_on) Close(pair);
      return !goes_on;
    });
  }
}

}  // namespace messaging::servers
