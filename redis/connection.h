// One connection: commands go out in a pipeline, replies come back in their order. Its thread alone may use it.
#ifndef REDIS_CONNECTION_H_
#define REDIS_CONNECTION_H_

#include <hiredis/hiredis.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/broker/io/loop.h"
#include "redis/redis_broker.h"
#include "redis/reply.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX.

namespace messaging::redis {

std::string_view View(const redisReply& reply);
bool IsError(const redisReply& reply);

// What a server's error means: Unauthenticated, PermissionDenied, ResourceExhausted (its memory is full), Unavailable
// (loading, busy, read-only, no master: it may pass), InvalidArgument, FailedPrecondition, else Internal. Its text is
// kept, with the address in front.
absl::Status StatusOfError(std::string_view error, const RedisOptions& options);

// Builds commands in the server's own format.
class CommandBuffer {
 public:
  void Begin(size_t arguments);  // Exactly so many Arg follow.
  void Arg(std::string_view bytes);
  void Command(std::initializer_list<std::string_view> arguments);

  std::string bytes;
};

class Connection : public io::Stream {
 public:
  // Blocks until connected, authenticated and in its database, each step at most for connect_timeout. `tls`
  // may be null; `options` outlives it. Unauthenticated: who we are, or the server's certificate; Unavailable: the
  // rest. Names the address.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const RedisOptions& options, ssl_ctx_st* tls);
  ~Connection() override;
  // From here on Flush and Read, and never Call. `on_reply` is given each whole reply; it must not drop the connection.
  void StopBlocking(std::function<void(ReplyPtr)> on_reply);

  // Commands are added to `out` and leave with Flush, as far as the server takes them.
  CommandBuffer out;
  size_t unsent() const { return out.bytes.size() - sent_; }
  absl::Status Flush() override;
  bool wants_write() const override { return buffered_; }
  absl::Status Read() override;
  int fd() const override { return context_->fd; }
  const std::string& id() const { return id_; }  // CLIENT ID.

  // Sends one command and waits for its answer, at most for response_timeout. An error of the server is a reply.
  absl::StatusOr<ReplyPtr> Call(const std::vector<std::string_view>& arguments);

 private:
  Connection(const RedisOptions& options, redisContext* context) : options_(options), context_(context) {}
  absl::Status Lost() const;
  absl::Status StartTls(ssl_ctx_st* tls);
  absl::Status Shake();

  const RedisOptions& options_;
  redisContext* const context_;
  std::function<void(ReplyPtr)> on_reply_;
  std::string id_;
  size_t sent_ = 0;
  bool buffered_ = false;  // hiredis has bytes that the kernel did not take yet.
};

// Opens a connection that blocks. Any thread.
using Connector = std::function<absl::StatusOr<std::unique_ptr<Connection>>()>;

}  // namespace messaging::redis

#endif  // REDIS_CONNECTION_H_
