// One connection to the server, with what rabbitmq-c makes of its bytes. Its thread alone may use it.
#ifndef RABBITMQ_CONNECTION_H_
#define RABBITMQ_CONNECTION_H_

#include <rabbitmq-c/amqp.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/broker/io/loop.h"
#include "rabbitmq/rabbitmq_broker.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX.

namespace messaging::rabbitmq {

struct BufferedSocket;  // socket.h

inline amqp_bytes_t Bytes(std::string_view text) {
  return {.len = text.size(), .bytes = const_cast<char*>(text.data())};
}
inline std::string_view View(const amqp_bytes_t& bytes) { return {static_cast<const char*>(bytes.bytes), bytes.len}; }

// What a server's reply code and text mean, with the address in front: Unauthenticated, PermissionDenied (403),
// NotFound (404), FailedPrecondition (406), InvalidArgument (too large), ResourceExhausted (a limit), Unavailable (it
// may pass), else Internal.
absl::Status StatusOfReply(int code, std::string_view text, const RabbitmqOptions& options);

class Connection : public io::Stream {
 public:
  // Blocks until connected and logged in, host after host, each at most for connect_timeout. `purpose` is told to the
  // server beside the client's name. `tls` may be null; `options` outlives it. Unauthenticated: who we are, or the
  // server's certificate; PermissionDenied, NotFound: the virtual host; Unavailable: the rest. Names the address.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const RabbitmqOptions& options, ssl_ctx_st* tls,
                                                          std::string_view purpose);
  ~Connection() override;

  amqp_connection_state_t state() const { return state_; }
  // Of the server: {3, 10} for 3.10.8. {0, 0}: it does not tell.
  std::pair<int, int> version() const { return version_; }
  const std::string& version_text() const { return version_text_; }
  size_t unsent() const;
  // The server has told that it takes no more messages for now (memory or disk).
  bool blocked() const { return blocked_; }
  const std::string& blocked_why() const { return blocked_why_; }
  // Half of a heartbeat: Read wants to be called so often.
  absl::Duration tick() const;

  // Not blocking: each frame of a channel other than 0 is given to `on_frame`, which may hold on to nothing.
  std::function<void(const amqp_frame_t&)> on_frame;
  int fd() const override;
  bool wants_write() const override { return unsent() > 0; }
  absl::Status Flush() override;
  absl::Status Read() override;
  // Says goodbye; what was sent before is done by the server before it answers. closed(): it has.
  void Close();
  bool closed() const { return closed_; }

  // Blocking, by rabbitmq-c's own calls on state(): what the last one, on that channel, came to, at most after
  // response_timeout. After an error of the channel that is to be opened again.
  absl::Status LastStatus(int channel);
  absl::Status StatusOf(const amqp_rpc_reply_t& reply, int channel);

  absl::Status Lost(std::string_view why) const;
  absl::Status Overdue() const;  // It is there, and owes an answer for longer than response_timeout.
  const RabbitmqOptions& options() const { return options_; }

 private:
  Connection(const RabbitmqOptions& options, std::string address)
      : options_(options), address_(std::move(address)), state_(amqp_new_connection()) {}
  absl::Status Connect(const Url::Host& host, ssl_ctx_st* tls, std::string_view purpose);
  absl::Status LogIn(std::string_view purpose);
  void ReadVersion();
  absl::Status OnConnectionFrame(const amqp_frame_t& frame);

  const RabbitmqOptions& options_;
  const std::string address_;
  const amqp_connection_state_t state_;
  BufferedSocket* socket_ = nullptr;  // state_ owns it.
  std::pair<int, int> version_;
  std::string version_text_;
  bool blocked_ = false;
  std::string blocked_why_;
  bool closing_ = false;
  bool closed_ = false;
};

}  // namespace messaging::rabbitmq

#endif  // RABBITMQ_CONNECTION_H_
