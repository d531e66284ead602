// A socket for rabbitmq-c that never blocks: what is sent is gathered until Flush, so that many small frames leave
// together, and a server that takes no more holds up nobody.
#ifndef RABBITMQ_SOCKET_H_
#define RABBITMQ_SOCKET_H_

#include <rabbitmq-c/amqp.h>
#include <sys/types.h>

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

struct ssl_ctx_st;
struct ssl_st;

namespace messaging::rabbitmq {

// rabbitmq-c sees its first member alone, a table of functions (amqp_socket.h, which no C++ file can include).
struct BufferedSocket {
  const void* functions;
  int fd = -1;
  ssl_st* ssl = nullptr;
  std::string out;
  size_t sent = 0;             // Of `out`.
  bool may_have_more = false;  // The last read filled what it was given, or TLS holds more.

  // What rabbitmq-c takes; it calls Delete when it is done with it.
  static BufferedSocket* New();
  // Connects until `deadline`. Unavailable: why not; Unauthenticated: the server's certificate.
  absl::Status Open(const std::string& host, int port, ssl_ctx_st* tls, const std::string& tls_name,
                    absl::Duration limit);
  size_t unsent() const { return out.size() - sent; }
  // False: the connection is lost.
  bool Flush();
  ssize_t Receive(void* buffer, size_t size);
  void Close();
};

void SetSocket(amqp_connection_state_t state, BufferedSocket* socket);

}  // namespace messaging::rabbitmq

#endif  // RABBITMQ_SOCKET_H_
