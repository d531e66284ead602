#include "rabbitmq/socket.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "messaging/broker/io/tls.h"

// Of rabbitmq-c, which is pinned: not in its public headers.
extern "C" {
struct SocketFunctions {
  ssize_t (*send)(void*, const void*, size_t, int);
  ssize_t (*recv)(void*, void*, size_t, int);
  int (*open)(void*, const char*, int, const timeval*);
  int (*close)(void*, int);
  int (*get_sockfd)(void*);
  void (*destroy)(void*);
};
int amqp_open_socket_noblock(const char* host, int port, const timeval* timeout);
void amqp_set_socket(amqp_connection_state_t state, amqp_socket_t* socket);
}

namespace messaging::rabbitmq {
namespace {

constexpr ssize_t kNeedRead = -0x1301;  // AMQP_PRIVATE_STATUS_SOCKET_NEEDREAD

BufferedSocket& Self(void* self) { return *static_cast<BufferedSocket*>(self); }

ssize_t Send(void* self, const void* bytes, size_t size, int) {
  BufferedSocket& socket = Self(self);
  if (socket.fd < 0) return AMQP_STATUS_SOCKET_CLOSED;
  socket.out.append(static_cast<const char*>(bytes), size);
  return static_cast<ssize_t>(size);
}

ssize_t Recv(void* self, void* buffer, size_t size, int) {
  BufferedSocket& socket = Self(self);
  if (socket.fd < 0) return AMQP_STATUS_SOCKET_CLOSED;
  if (!socket.Flush()) return AMQP_STATUS_SOCKET_ERROR;
  return socket.Receive(buffer, size);
}

int Open(void*, const char*, int, const timeval*) { return AMQP_STATUS_SOCKET_ERROR; }  // By BufferedSocket::Open.

int Close(void* self, int) {
  Self(self).Close();
  return AMQP_STATUS_OK;
}

int GetFd(void* self) { return Self(self).fd; }

void Destroy(void* self) {
  if (self == nullptr) return;
  Self(self).Close();
  delete &Self(self);
}

constexpr SocketFunctions kFunctions = {
    .send = Send, .recv = Recv, .open = Open, .close = Close, .get_sockfd = GetFd, .destroy = Destroy};

absl::Status Handshake(BufferedSocket& socket, absl::Time deadline) {
  while (true) {
    ERR_clear_error();
    const int done = SSL_connect(socket.ssl);
    if (done == 1) return absl::OkStatus();
    const int error = SSL_get_error(socket.ssl, done);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
      pollfd what = {socket.fd, static_cast<short>(error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT), 0};
      const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
      if (left > 0 && poll(&what, 1, static_cast<int>(left)) > 0) continue;
      return absl::UnavailableError("TLS: no answer in time");
    }
    const std::string verdict = io::TlsVerdict(socket.ssl);
    if (!verdict.empty()) {
      return absl::UnauthenticatedError(absl::StrCat("the server's certificate is not accepted: ", verdict));
    }
    char text[256] = "the connection was closed";
    if (const unsigned long last = ERR_get_error(); last != 0) ERR_error_string_n(last, text, sizeof(text));
    ERR_clear_error();
    return absl::UnavailableError(absl::StrCat("TLS: ", text));
  }
}

}  // namespace

BufferedSocket* BufferedSocket::New() {
  auto* const socket = new BufferedSocket;
  socket->functions = &kFunctions;
  return socket;
}

void SetSocket(amqp_connection_state_t state, BufferedSocket* socket) {
  amqp_set_socket(state, reinterpret_cast<amqp_socket_t*>(socket));
}

absl::Status BufferedSocket::Open(const std::string& host, int port, ssl_ctx_st* tls, const std::string& tls_name,
                                  absl::Duration limit) {
  const absl::Time deadline = absl::Now() + limit;
  const timeval timeout = absl::ToTimeval(limit);
  errno = 0;
  fd = amqp_open_socket_noblock(host.c_str(), port, &timeout);
  if (fd < 0) {
    const int error = errno;
    const int status = fd;
    fd = -1;
    return absl::UnavailableError(status == AMQP_STATUS_SOCKET_ERROR && error != 0 && error != EINPROGRESS
                                      ? strerror(error)
                                  : status == AMQP_STATUS_SOCKET_ERROR ? "connection refused"
                                                                       : amqp_error_string2(status));
  }
  if (tls == nullptr) return absl::OkStatus();
  ssl = io::NewTlsSession(tls, tls_name);
  if (ssl == nullptr || SSL_set_fd(ssl, fd) != 1) return absl::ResourceExhaustedError("TLS: no memory");
  return Handshake(*this, deadline);
}

bool BufferedSocket::Flush() {
  while (unsent() > 0) {
    const size_t size = std::min(unsent(), size_t{std::numeric_limits<int>::max()});
    ssize_t n = 0;
    if (ssl != nullptr) {
      ERR_clear_error();
      n = SSL_write(ssl, out.data() + sent, static_cast<int>(size));
      if (n <= 0) {
        const int error = SSL_get_error(ssl, static_cast<int>(n));
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return false;
        break;
      }
    } else {
      n = send(fd, out.data() + sent, size, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
      if (n < 0) return false;
    }
    sent += static_cast<size_t>(n);
  }
  if (unsent() == 0) {
    out.clear();
    if (out.capacity() > (4 << 20)) out.shrink_to_fit();
    sent = 0;
  } else if (sent > (1 << 20)) {
    out.erase(0, sent);
    sent = 0;
  }
  return true;
}

ssize_t BufferedSocket::Receive(void* buffer, size_t size) {
  ssize_t n = 0;
  if (ssl != nullptr) {
    ERR_clear_error();
    n = SSL_read(ssl, buffer, static_cast<int>(size));
    if (n <= 0) {
      const int error = SSL_get_error(ssl, static_cast<int>(n));
      may_have_more = false;
      if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return kNeedRead;
      return AMQP_STATUS_CONNECTION_CLOSED;
    }
    may_have_more = true;  // What is decrypted waits where poll does not see it.
    return n;
  }
  do {
    n = recv(fd, buffer, size, 0);
  } while (n < 0 && errno == EINTR);
  may_have_more = n == static_cast<ssize_t>(size);
  if (n == 0) return AMQP_STATUS_CONNECTION_CLOSED;
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return kNeedRead;
  if (n < 0) return AMQP_STATUS_SOCKET_ERROR;
  return n;
}

void BufferedSocket::Close() {
  if (ssl != nullptr) {
    SSL_free(ssl);  // Without a goodbye: AMQP has one of its own.
    ssl = nullptr;
  }
  if (fd >= 0) close(fd);
  fd = -1;
}

}  // namespace messaging::rabbitmq
