#include "redis/connection.h"

#include <fcntl.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "messaging/broker/io/no_sigpipe.h"
#include "messaging/broker/io/tls.h"

namespace messaging::redis {
namespace {

// hiredis moves what is left of its own buffer after each write: it gets no more than the kernel may take.
constexpr size_t kChunk = 64 << 10;

redisContext* Connect(const RedisOptions& options) {
  const timeval limit = absl::ToTimeval(options.connect_timeout);
  redisOptions how = {};
  how.connect_timeout = &limit;
  how.options = REDIS_OPT_REUSEADDR;
  if (options.unix_socket.empty()) {
    REDIS_OPTIONS_SET_TCP(&how, options.host.c_str(), options.port);
  } else {
    REDIS_OPTIONS_SET_UNIX(&how, options.unix_socket.c_str());
  }
  return redisConnectWithOptions(&how);
}

void AppendSize(std::string& bytes, char kind, size_t size) {
  char text[24];
  text[0] = kind;
  char* end = std::to_chars(text + 1, text + sizeof(text) - 2, size).ptr;
  *end++ = '\r';
  *end++ = '\n';
  bytes.append(text, static_cast<size_t>(end - text));
}

}  // namespace

std::string_view View(const redisReply& reply) {
  return reply.str == nullptr ? std::string_view() : std::string_view(reply.str, reply.len);
}

bool IsError(const redisReply& reply) { return reply.type == REDIS_REPLY_ERROR; }

absl::Status StatusOfError(std::string_view error, const RedisOptions& options) {
  static constexpr struct {
    std::string_view prefix;
    absl::StatusCode code;
  } kCodes[] = {
      {"NOAUTH", absl::StatusCode::kUnauthenticated},
      {"WRONGPASS", absl::StatusCode::kUnauthenticated},
      {"ERR invalid password", absl::StatusCode::kUnauthenticated},
      {"NOPERM", absl::StatusCode::kPermissionDenied},
      {"OOM", absl::StatusCode::kResourceExhausted},
      {"LOADING", absl::StatusCode::kUnavailable},
      {"BUSY ", absl::StatusCode::kUnavailable},
      {"READONLY", absl::StatusCode::kUnavailable},
      {"MASTERDOWN", absl::StatusCode::kUnavailable},
      {"NOREPLICAS", absl::StatusCode::kUnavailable},
      {"MISCONF", absl::StatusCode::kUnavailable},
      {"CLUSTERDOWN", absl::StatusCode::kUnavailable},
      {"TRYAGAIN", absl::StatusCode::kUnavailable},
      {"WRONGTYPE", absl::StatusCode::kFailedPrecondition},
      {"NOGROUP", absl::StatusCode::kNotFound},
  };
  absl::StatusCode code = absl::StatusCode::kInternal;
  for (const auto& [prefix, meaning] : kCodes) {
    // Scripts put words of their own in front of some.
    if (absl::StartsWith(error, prefix) || absl::StrContains(error, absl::StrCat("-", prefix))) {
      code = meaning;
      break;
    }
  }
  return absl::Status(code, absl::StrCat(options.Address(), ": ", error));
}

void CommandBuffer::Begin(size_t arguments) { AppendSize(bytes, '*', arguments); }

void CommandBuffer::Arg(std::string_view argument) {
  AppendSize(bytes, '$', argument.size());
  bytes.append(argument).append("\r\n");
}

void CommandBuffer::Command(std::initializer_list<std::string_view> arguments) {
  Begin(arguments.size());
  for (const std::string_view argument : arguments) Arg(argument);
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const RedisOptions& options, ssl_ctx_st* tls) {
  const io::NoSigpipe guard;
  redisContext* const context = Connect(options);
  if (context == nullptr) return absl::ResourceExhaustedError("redis: no memory");
  std::unique_ptr<Connection> connection(new Connection(options, context));
  if (context->reader != nullptr) context->reader->fn = ReplyFunctions();
  if (context->err != 0) return connection->Lost();
  // A server that takes connections and says nothing holds up the loop, and whoever waits for its end.
  redisSetTimeout(context, absl::ToTimeval(options.connect_timeout));
  absl::Status status;
  if (tls != nullptr) status = connection->StartTls(tls);
  if (status.ok()) status = connection->Shake();
  if (!status.ok()) return status;
  redisSetTimeout(context, absl::ToTimeval(options.response_timeout));
  return connection;
}

absl::Status Connection::StartTls(ssl_ctx_st* tls) {
  const std::string& name = options_.tls_server_name.empty() ? options_.host : options_.tls_server_name;
  SSL* const ssl = io::NewTlsSession(tls, name);  // hiredis' own do not compare a certificate's name with the host's.
  if (ssl == nullptr) return absl::InvalidArgumentError("redis: TLS: no session");
  if (redisInitiateSSL(context_, ssl) == REDIS_OK) return absl::OkStatus();
  const std::string verdict = io::TlsVerdict(ssl);
  SSL_free(ssl);
  ERR_clear_error();
  if (!verdict.empty()) {
    return absl::UnauthenticatedError(
        absl::StrCat(options_.Address(), ": the server's certificate is not accepted: ", verdict));
  }
  const bool silent = absl::StrContains(context_->errstr, "(null)");  // No answer, and OpenSSL knows no reason.
  return absl::UnavailableError(absl::StrCat(
      options_.Address(), ": TLS: ", silent ? "no answer to its handshake: a port without TLS?" : context_->errstr));
}

void Connection::StopBlocking(std::function<void(ReplyPtr)> on_reply) {
  on_reply_ = std::move(on_reply);
  fcntl(context_->fd, F_SETFL, fcntl(context_->fd, F_GETFL) | O_NONBLOCK);
  context_->flags &= ~REDIS_BLOCK;
}

Connection::~Connection() {
  const io::NoSigpipe guard;  // TLS says goodbye.
  redisFree(context_);
}

absl::Status Connection::Lost() const {
  return absl::UnavailableError(
      absl::StrCat(options_.Address(), ": ", context_->err != 0 ? context_->errstr : "the connection was lost"));
}

absl::Status Connection::Shake() {
  std::vector<std::vector<std::string_view>> commands;
  const std::string database = absl::StrCat(options_.database);
  if (!options_.password.empty() && options_.user.empty()) commands.push_back({"AUTH", options_.password});
  if (!options_.password.empty() && !options_.user.empty()) {
    commands.push_back({"AUTH", options_.user, options_.password});
  }
  if (options_.database != 0) commands.push_back({"SELECT", database});
  std::string name = options_.client_name;
  for (char& c : name) {
    if (c <= ' ' || c > '~') c = '_';  // The server takes no others.
  }
  if (!name.empty()) commands.push_back({"CLIENT", "SETNAME", name});
  commands.push_back({"CLIENT", "ID"});
  for (const std::vector<std::string_view>& command : commands) {
    absl::StatusOr<ReplyPtr> reply = Call(command);
    if (!reply.ok()) return reply.status();
    if (IsError(**reply)) {
      absl::Status status = StatusOfError(View(**reply), options_);
      // An old server, or a user who may not: nothing depends on these.
      if (command[0] == "CLIENT" && status.code() != absl::StatusCode::kUnauthenticated &&
          status.code() != absl::StatusCode::kUnavailable) {
        continue;
      }
      return status;
    }
    if ((*reply)->type == REDIS_REPLY_INTEGER) id_ = absl::StrCat((*reply)->integer);
  }
  return absl::OkStatus();
}

absl::StatusOr<ReplyPtr> Connection::Call(const std::vector<std::string_view>& arguments) {
  const io::NoSigpipe guard;
  CommandBuffer command;
  command.Begin(arguments.size());
  for (const std::string_view argument : arguments) command.Arg(argument);
  void* reply = nullptr;
  if (redisAppendFormattedCommand(context_, command.bytes.data(), command.bytes.size()) != REDIS_OK ||
      redisGetReply(context_, &reply) != REDIS_OK) {
    return Lost();
  }
  return ReplyPtr(static_cast<redisReply*>(reply));
}

absl::Status Connection::Flush() {
  while (buffered_ || unsent() > 0) {
    if (!buffered_) {
      const size_t n = std::min(kChunk, unsent());
      if (redisAppendFormattedCommand(context_, out.bytes.data() + sent_, n) != REDIS_OK) return Lost();
      sent_ += n;
    }
    int done = 0;
    if (redisBufferWrite(context_, &done) != REDIS_OK) return Lost();
    buffered_ = done == 0;
    if (buffered_) break;
  }
  if (unsent() == 0) {
    out.bytes.clear();
    sent_ = 0;
  } else if (sent_ > (1 << 20)) {
    out.bytes.erase(0, sent_);
    sent_ = 0;
  }
  return absl::OkStatus();
}

absl::Status Connection::Read() {
  constexpr size_t kReadSize = 16 << 10;  // hiredis reads so much at a time.
  while (true) {
    const size_t before = context_->reader->len;
    if (redisBufferRead(context_) != REDIS_OK) return Lost();
    const size_t got = context_->reader->len - std::min(before, context_->reader->len);
    void* reply = nullptr;
    while (true) {
      if (redisGetReplyFromReader(context_, &reply) != REDIS_OK) return Lost();
      if (reply == nullptr) break;
      on_reply_(ReplyPtr(static_cast<redisReply*>(reply)));
    }
    // With TLS, what is decrypted waits in the library where poll does not see it.
    if (got < (options_.tls ? 1 : kReadSize)) return absl::OkStatus();
  }
}

}  // namespace messaging::redis
