// TLS of a driver's connections, by OpenSSL.
#ifndef MESSAGING_BROKER_IO_TLS_H_
#define MESSAGING_BROKER_IO_TLS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX and SSL.
struct ssl_st;

namespace messaging::io {

// Whom to trust, and what to show.
struct TlsFiles {
  std::string ca;                // PEM; empty: the system's authorities.
  std::string certificate, key;  // PEM; empty: this client shows none.
  bool verify = true;
};

// Made once for all connections of a broker, whose name stands in front of errors. InvalidArgument: a file that cannot
// be read.
absl::StatusOr<std::shared_ptr<ssl_ctx_st>> MakeTlsContext(const std::string& broker, const TlsFiles& files);

// A session whose server's certificate has to name `name`, which is also sent ahead (SNI). An address is compared with
// the certificate's addresses. Null: no memory.
ssl_st* NewTlsSession(ssl_ctx_st* context, const std::string& name);

// After a failed handshake: why the server's certificate was not accepted; empty: that was not it.
std::string TlsVerdict(const ssl_st* session);

}  // namespace messaging::io

#endif  // MESSAGING_BROKER_IO_TLS_H_
