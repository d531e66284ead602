#include "tests/faultproxy/fault_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace messaging::faultproxy {
namespace {

// Gives back what it is told, on each connection.
class Echo {
 public:
  Echo() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 16) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      std::abort();
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] {
      while (true) {
        const int fd = accept(listener_, nullptr, nullptr);
        if (fd < 0) return;
        talks_.emplace_back([fd] {
          char buffer[4096];
          for (ssize_t n; (n = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
            if (send(fd, buffer, static_cast<size_t>(n), MSG_NOSIGNAL) != n) break;
          }
          close(fd);
        });
      }
    });
  }
  ~Echo() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
    for (std::thread& talk : talks_) talk.join();
  }
  int port() const { return port_; }

 private:
  const int listener_;
  int port_ = 0;
  std::vector<std::thread> talks_;
  std::thread thread_;
};

class Client {
 public:
  explicit Client(int port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~Client() { close(fd_); }
  bool connected() const { return connected_; }
  bool Say(const std::string& text) {
    return send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }
  // Up to `size` bytes within `limit`; shorter where it ended or nothing more came.
  std::string Hear(size_t size, absl::Duration limit = absl::Seconds(20)) {
    const timeval time = absl::ToTimeval(limit);
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
    std::string text(size, '\0');
    size_t had = 0;
    pieces = 0;
    while (had < size) {
      const ssize_t n = recv(fd_, text.data() + had, size - had, 0);
      if (n <= 0) {
        ended = n == 0 || errno != EAGAIN;
        break;
      }
      ++pieces;
      had += static_cast<size_t>(n);
    }
    text.resize(had);
    return text;
  }
  int pieces = 0;
  bool ended = false;

 private:
  const int fd_;
  bool connected_ = false;
};

class FaultProxyTest : public testing::Test {
 protected:
  // How long a byte takes there and back.
  absl::Duration RoundTrip(Client& client) {
    const absl::Time began = absl::Now();
    EXPECT_TRUE(client.Say("x"));
    EXPECT_EQ(client.Hear(1), "x");
    return absl::Now() - began;
  }
  Echo echo_;
  FaultProxy proxy_{echo_.port()};
};

TEST_F(FaultProxyTest, AGoodNetworkChangesNothing) {
  Client client(proxy_.port());
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += static_cast<char>(i * 7);
  std::thread writer([&] { EXPECT_TRUE(client.Say(text)); });
  EXPECT_EQ(client.Hear(text.size()), text);
  writer.join();
  EXPECT_EQ(proxy_.accepted(), 1);
}

TEST_F(FaultProxyTest, DelayIsKeptAndOrderToo) {
  Client client(proxy_.port());
  proxy_.SetToServer({.delay = absl::Milliseconds(100), .jitter = absl::Milliseconds(50)});
  proxy_.SetToClient({.delay = absl::Milliseconds(100)});
  EXPECT_GE(RoundTrip(client), absl::Milliseconds(200));
  for (const char* part : {"a", "b", "c", "d"}) {
    EXPECT_TRUE(client.Say(part));
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_EQ(client.Hear(4), "abcd");
}

TEST_F(FaultProxyTest, NoMorePassesThanTheRate) {
  Client client(proxy_.port());
  proxy_.SetToClient({.bytes_per_second = 10'000});
  const std::string text(5'000, 'x');
  const absl::Time began = absl::Now();
  EXPECT_TRUE(client.Say(text));
  EXPECT_EQ(client.Hear(text.size()).size(), text.size());
  EXPECT_GE(absl::Now() - began, absl::Milliseconds(400));
}

TEST_F(FaultProxyTest, SilenceEndsNothingAndLosesNothing) {
  Client client(proxy_.port());
  RoundTrip(client);
  proxy_.SetToClient({.silent = true});
  EXPECT_TRUE(client.Say("hello"));
  EXPECT_EQ(client.Hear(5, absl::Milliseconds(300)), "");
  EXPECT_FALSE(client.ended);
  proxy_.Heal();
  EXPECT_EQ(client.Hear(5), "hello");
}

TEST_F(FaultProxyTest, WhatSilenceKeptIsLostWithAReset) {
  Client before(proxy_.port());
  RoundTrip(before);
  proxy_.SetToClient({.silent = true});
  EXPECT_FALSE(proxy_.AwaitUnheard(1, absl::Milliseconds(100)));
  EXPECT_TRUE(before.Say("hello"));
  EXPECT_TRUE(proxy_.AwaitUnheard(5, absl::Seconds(10)));
  proxy_.Reset();
  proxy_.Heal();
  EXPECT_EQ(before.Hear(1), "");
  EXPECT_TRUE(before.ended);
  Client after(proxy_.port());
  RoundTrip(after);
}

TEST_F(FaultProxyTest, SlicesComeOneAfterTheOther) {
  Client client(proxy_.port());
  proxy_.SetToClient({.slice = 2, .slice_pause = absl::Milliseconds(50)});
  EXPECT_TRUE(client.Say("12345678"));
  EXPECT_EQ(client.Hear(8), "12345678");
  EXPECT_GE(client.pieces, 2);
}

TEST_F(FaultProxyTest, CutAfterSoManyBytes) {
  Client client(proxy_.port());
  proxy_.SetToClient({.cut_after = 3});
  EXPECT_TRUE(client.Say("12345678"));
  EXPECT_EQ(client.Hear(8), "123");
  EXPECT_TRUE(client.ended);
}

TEST_F(FaultProxyTest, ResetEndsWhatThereIsAndNothingElse) {
  Client before(proxy_.port());
  RoundTrip(before);
  proxy_.Reset();
  EXPECT_EQ(before.Hear(1), "");
  EXPECT_TRUE(before.ended);
  Client after(proxy_.port());
  RoundTrip(after);
}

TEST_F(FaultProxyTest, DownUntilItIsHealed) {
  Client before(proxy_.port());
  RoundTrip(before);
  proxy_.Down();
  EXPECT_EQ(before.Hear(1), "");
  EXPECT_TRUE(before.ended);
  Client refused(proxy_.port());
  (void)refused.Say("x");
  EXPECT_EQ(refused.Hear(1), "");
  EXPECT_TRUE(refused.ended);
  proxy_.Heal();
  Client after(proxy_.port());
  RoundTrip(after);
}

}  // namespace
}  // namespace messaging::faultproxy
