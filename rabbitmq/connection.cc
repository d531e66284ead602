#include "rabbitmq/connection.h"

#include <rabbitmq-c/framing.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "messaging/broker/io/no_sigpipe.h"
#include "messaging/broker/io/tls.h"
#include "rabbitmq/socket.h"

namespace messaging::rabbitmq {
namespace {

constexpr int kMostChannels = 2'047;  // What the server allows unless told otherwise.

amqp_table_entry_t TextEntry(const char* name, std::string_view value) {
  return {.key = Bytes(name), .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = Bytes(value)}}};
}

amqp_table_entry_t BoolEntry(const char* name) {
  return {.key = Bytes(name), .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value = {.boolean = 1}}};
}

}  // namespace

absl::Status StatusOfReply(int code, std::string_view text, const RabbitmqOptions& options) {
  absl::StatusCode meaning = absl::StatusCode::kInternal;
  switch (code) {
    case AMQP_ACCESS_REFUSED:
      meaning = absl::StrContains(text, "Login was refused") || absl::StrContains(text, "mechanism")
                    ? absl::StatusCode::kUnauthenticated
                    : absl::StatusCode::kPermissionDenied;
      break;
    case AMQP_NOT_ALLOWED:  // The virtual host is not there, or not this user's; connection limits.
      meaning = absl::StrContains(text, "not found") ? absl::StatusCode::kNotFound
                : absl::StrContains(text, "is down") ? absl::StatusCode::kUnavailable
                : absl::StrContains(text, "limit")   ? absl::StatusCode::kResourceExhausted
                                                     : absl::StatusCode::kPermissionDenied;
      break;
    case AMQP_NOT_FOUND:
      meaning = absl::StatusCode::kNotFound;
      break;
    case AMQP_PRECONDITION_FAILED:
      meaning = absl::StrContains(text, "larger than") ? absl::StatusCode::kInvalidArgument
                                                       : absl::StatusCode::kFailedPrecondition;
      break;
    case AMQP_CONTENT_TOO_LARGE:
      meaning = absl::StatusCode::kInvalidArgument;
      break;
    case AMQP_RESOURCE_LOCKED:
      meaning = absl::StatusCode::kAborted;
      break;
    case AMQP_RESOURCE_ERROR:
    case AMQP_CONNECTION_FORCED:
    case AMQP_INTERNAL_ERROR:
      meaning = absl::StatusCode::kUnavailable;
      break;
    default:
      break;
  }
  return absl::Status(meaning, absl::StrCat(options.Address(), ": ", text));
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const RabbitmqOptions& options, ssl_ctx_st* tls,
                                                             std::string_view purpose) {
  const io::NoSigpipe guard;
  absl::Status last = absl::UnavailableError("rabbitmq: no host");
  for (const Url::Host& host : options.hosts) {
    std::unique_ptr<Connection> connection(
        new Connection(options, absl::StrCat("rabbitmq ", host.name, ":", host.port)));
    const absl::Status status = connection->Connect(host, tls, purpose);
    if (status.ok()) return connection;
    last = absl::Status(status.code(), absl::StrCat(connection->address_, ": ", status.message()));
  }
  return last;
}

absl::Status Connection::Connect(const Url::Host& host, ssl_ctx_st* tls, std::string_view purpose) {
  if (state_ == nullptr) return absl::ResourceExhaustedError("no memory");
  socket_ = BufferedSocket::New();
  SetSocket(state_, socket_);
  const absl::Status opened =
      socket_->Open(host.name, host.port, tls, options_.tls_server_name.empty() ? host.name : options_.tls_server_name,
                    options_.connect_timeout);
  if (!opened.ok()) return opened;
  return LogIn(purpose);
}

absl::Status Connection::LogIn(std::string_view purpose) {
  const timeval handshake = absl::ToTimeval(std::max(options_.connect_timeout, absl::Milliseconds(1)));
  const timeval response = absl::ToTimeval(std::max(options_.response_timeout, absl::Milliseconds(1)));
  amqp_set_handshake_timeout(state_, &handshake);
  amqp_set_rpc_timeout(state_, &response);
  std::vector<amqp_table_entry_t> capabilities;
  for (const char* name : {"publisher_confirms", "basic.nack", "connection.blocked", "consumer_cancel_notify"}) {
    capabilities.push_back(BoolEntry(name));
  }
  const std::string name = absl::StrCat(options_.client_name, options_.client_name.empty() ? "" : " ", purpose);
  std::vector<amqp_table_entry_t> properties = {TextEntry("connection_name", name)};
  properties.push_back({.key = Bytes("capabilities"),
                        .value = {.kind = AMQP_FIELD_KIND_TABLE,
                                  .value = {.table = {.num_entries = static_cast<int>(capabilities.size()),
                                                      .entries = capabilities.data()}}}});
  const amqp_table_t table = {.num_entries = static_cast<int>(properties.size()), .entries = properties.data()};
  const int heartbeat = static_cast<int>(
      std::clamp<int64_t>(absl::ToInt64Seconds(absl::Ceil(options_.heartbeat, absl::Seconds(1))), 0, 65'535));
  // External: whom the certificate names counts, the server does not look at the identity; rabbitmq-c takes no empty
  // one.
  const amqp_rpc_reply_t reply =
      options_.external_auth
          ? amqp_login_with_properties(state_, options_.virtual_host.c_str(), kMostChannels, options_.frame_size,
                                       heartbeat, &table, AMQP_SASL_METHOD_EXTERNAL, "-")
          : amqp_login_with_properties(state_, options_.virtual_host.c_str(), kMostChannels, options_.frame_size,
                                       heartbeat, &table, AMQP_SASL_METHOD_PLAIN, options_.user.c_str(),
                                       options_.password.c_str());
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) {
    ReadVersion();
    return absl::OkStatus();
  }
  if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
    const auto* const close = static_cast<const amqp_connection_close_t*>(reply.reply.decoded);
    const absl::Status status = StatusOfReply(close->reply_code, View(close->reply_text), options_);
    return absl::Status(status.code(), View(close->reply_text));
  }
  if (reply.library_error == AMQP_STATUS_BROKER_UNSUPPORTED_SASL_METHOD) {
    return absl::UnauthenticatedError(absl::StrCat("the server does not let clients in by ",
                                                   options_.external_auth ? "auth=external" : "user and password"));
  }
  return absl::UnavailableError(amqp_error_string2(reply.library_error));
}

void Connection::ReadVersion() {
  const amqp_table_t& properties = *amqp_get_server_properties(state_);
  for (int i = 0; i < properties.num_entries; ++i) {
    const amqp_table_entry_t& entry = properties.entries[i];
    if (View(entry.key) != "version" || entry.value.kind != AMQP_FIELD_KIND_UTF8) continue;
    version_text_ = std::string(View(entry.value.value.bytes));
    const std::vector<std::string_view> parts = absl::StrSplit(version_text_, '.');
    if (parts.size() >= 2) {
      (void)(absl::SimpleAtoi(parts[0], &version_.first) && absl::SimpleAtoi(parts[1], &version_.second));
    }
  }
}

Connection::~Connection() {
  const io::NoSigpipe guard;
  amqp_destroy_connection(state_);
}

size_t Connection::unsent() const { return socket_->unsent(); }
int Connection::fd() const { return socket_->fd; }

absl::Duration Connection::tick() const {
  const int heartbeat = amqp_get_heartbeat(state_);
  return heartbeat == 0 ? absl::InfiniteDuration() : absl::Seconds(heartbeat) / 2;
}

absl::Status Connection::Lost(std::string_view why) const {
  return absl::UnavailableError(absl::StrCat(address_, ": ", why));
}

absl::Status Connection::Overdue() const {
  return Lost(absl::StrCat("no answer for ", absl::FormatDuration(options_.response_timeout)));
}

absl::Status Connection::Flush() {
  return socket_->fd >= 0 && socket_->Flush() ? absl::OkStatus() : Lost("the connection was lost");
}

absl::Status Connection::Read() {
  const timeval now = {};
  while (true) {
    amqp_frame_t frame;
    const int status = amqp_simple_wait_frame_noblock(state_, &frame, &now);
    if (status == AMQP_STATUS_TIMEOUT) return absl::OkStatus();
    if (status == AMQP_STATUS_HEARTBEAT_TIMEOUT) return Lost("no heartbeat came");
    if (status != AMQP_STATUS_OK) return Lost(amqp_error_string2(status));
    if (frame.channel == 0) {
      const absl::Status served = OnConnectionFrame(frame);
      if (!served.ok()) return served;
    } else if (on_frame) {
      on_frame(frame);
    }
    amqp_maybe_release_buffers_on_channel(state_, frame.channel);
    if (!amqp_data_in_buffer(state_) && !socket_->may_have_more) return absl::OkStatus();
  }
}

absl::Status Connection::OnConnectionFrame(const amqp_frame_t& frame) {
  if (frame.frame_type != AMQP_FRAME_METHOD) return absl::OkStatus();
  const amqp_method_t& method = frame.payload.method;
  switch (method.id) {
    case AMQP_CONNECTION_BLOCKED_METHOD:
      blocked_ = true;
      blocked_why_ = std::string(View(static_cast<const amqp_connection_blocked_t*>(method.decoded)->reason));
      break;
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
      blocked_ = false;
      break;
    case AMQP_CONNECTION_CLOSE_OK_METHOD:
      closed_ = true;
      break;
    case AMQP_CONNECTION_CLOSE_METHOD: {
      const auto* const close = static_cast<const amqp_connection_close_t*>(method.decoded);
      const absl::Status why = StatusOfReply(close->reply_code, View(close->reply_text), options_);
      amqp_connection_close_ok_t ok = {};
      amqp_send_method(state_, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
      (void)Flush();
      // Whatever it was: a new connection may fare better.
      return Lost(why.message());
    }
    default:
      break;
  }
  return absl::OkStatus();
}

void Connection::Close() {
  if (std::exchange(closing_, true)) return;
  amqp_connection_close_t close = {.reply_code = AMQP_REPLY_SUCCESS, .reply_text = Bytes("goodbye")};
  amqp_send_method(state_, 0, AMQP_CONNECTION_CLOSE_METHOD, &close);
}

absl::Status Connection::LastStatus(int channel) { return StatusOf(amqp_get_rpc_reply(state_), channel); }

absl::Status Connection::StatusOf(const amqp_rpc_reply_t& reply, int number) {
  const auto channel = static_cast<amqp_channel_t>(number);
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) return absl::OkStatus();
  if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION) {
    if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
      const auto* const close = static_cast<const amqp_channel_close_t*>(reply.reply.decoded);
      const absl::Status status = StatusOfReply(close->reply_code, View(close->reply_text), options_);
      amqp_channel_close_ok_t ok = {};
      amqp_send_method(state_, channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
      return status;
    }
    if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
      const auto* const close = static_cast<const amqp_connection_close_t*>(reply.reply.decoded);
      return StatusOfReply(close->reply_code, View(close->reply_text), options_);
    }
  }
  return Lost(amqp_error_string2(reply.library_error));
}

}  // namespace messaging::rabbitmq
