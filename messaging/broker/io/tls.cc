#include "messaging/broker/io/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace messaging::io {

absl::StatusOr<std::shared_ptr<ssl_ctx_st>> MakeTlsContext(const std::string& broker, const TlsFiles& files) {
  // What OpenSSL says last, and what it was about.
  auto failed = [&broker](const std::string& what) {
    char text[256] = "unknown error";
    if (const unsigned long error = ERR_get_error(); error != 0) ERR_error_string_n(error, text, sizeof(text));
    ERR_clear_error();
    return absl::InvalidArgumentError(absl::StrCat(broker, ": TLS: ", what, ": ", text));
  };
  std::shared_ptr<SSL_CTX> tls(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  if (tls == nullptr) return failed("no context");
  SSL_CTX_set_min_proto_version(tls.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(tls.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(tls.get(), files.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (files.ca.empty()) {
    if (SSL_CTX_set_default_verify_paths(tls.get()) != 1) return failed("the system's authorities");
  } else if (SSL_CTX_load_verify_locations(tls.get(), files.ca.c_str(), nullptr) != 1) {
    return failed(files.ca);
  }
  if (files.certificate.empty()) return tls;
  if (SSL_CTX_use_certificate_chain_file(tls.get(), files.certificate.c_str()) != 1) return failed(files.certificate);
  if (SSL_CTX_use_PrivateKey_file(tls.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1) return failed(files.key);
  return tls;
}

ssl_st* NewTlsSession(ssl_ctx_st* context, const std::string& name) {
  SSL* const ssl = SSL_new(context);
  if (ssl == nullptr) return nullptr;
  if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str()) != 1) {
    SSL_set1_host(ssl, name.c_str());
    SSL_set_tlsext_host_name(ssl, name.c_str());
  }
  return ssl;
}

std::string TlsVerdict(const ssl_st* session) {
  const long verdict = SSL_get_verify_result(session);
  return verdict == X509_V_OK ? "" : X509_verify_cert_error_string(verdict);
}

}  // namespace messaging::io
