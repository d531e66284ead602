// Certificates for servers in tests.
#ifndef TESTS_SERVERS_CERTIFICATES_H_
#define TESTS_SERVERS_CERTIFICATES_H_

#include <string>

#include "absl/status/status.h"

namespace messaging::servers {

// Writes FOLDER/ca.key and FOLDER/ca.crt, in PEM: an authority of its own.
absl::Status MakeAuthority(const std::string& folder);

struct CertificateOptions {
  // subjectAltName as OpenSSL writes it.
  std::string names = "DNS:localhost,IP:127.0.0.1";
  bool expired = false;
};

// Writes FOLDER/NAME.key and FOLDER/NAME.crt, signed by the folder's authority; its common name is `name`.
absl::Status MakeCertificate(const std::string& folder, const std::string& name,
                             const CertificateOptions& options = {});

}  // namespace messaging::servers

#endif  // TESTS_SERVERS_CERTIFICATES_H_
