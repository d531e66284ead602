#include "tests/servers/certificates.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace messaging::servers {
namespace {

// Folder and names are our own, without blanks.
absl::Status Run(const std::string& folder, const std::string& command) {
  const std::string log = absl::StrCat(folder, "/openssl.log");
  if (std::system(absl::StrCat("cd ", folder, " && (", command, ") >openssl.log 2>&1 </dev/null").c_str()) == 0) {
    return absl::OkStatus();
  }
  std::ifstream in(log);
  return absl::InternalError(absl::StrCat(
      command, ":\n", std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>())));
}

}  // namespace

absl::Status MakeAuthority(const std::string& folder) {
  return Run(folder,
             "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-authority -keyout ca.key -out ca.crt "
             "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign");
}

absl::Status MakeCertificate(const std::string& folder, const std::string& name, const CertificateOptions& options) {
  // `openssl ca` alone takes dates, which an expired one needs.
  std::ofstream(absl::StrCat(folder, "/", name, ".cnf"))
      << "[ca]\ndefault_ca = authority\n[authority]\ndatabase = " << name << ".index\nserial = " << name
      << ".serial\nnew_certs_dir = .\ndefault_md = sha256\npolicy = any\nx509_extensions = leaf\nunique_subject = no\n"
         "[any]\ncommonName = supplied\n[leaf]\nbasicConstraints = CA:FALSE\nsubjectAltName = "
      << options.names << "\nextendedKeyUsage = serverAuth,clientAuth\n";
  const char* const dates = options.expired ? "-startdate 20200101000000Z -enddate 20200102000000Z" : "-days 2";
  return Run(folder, absl::StrCat(": >", name, ".index && openssl rand -hex 8 >", name,
                                  ".serial && openssl req -newkey rsa:2048 -nodes -subj /CN=", name, " -keyout ", name,
                                  ".key -out ", name, ".csr && openssl ca -batch -config ", name,
                                  ".cnf -cert ca.crt -keyfile ca.key -notext ", dates, " -in ", name, ".csr -out ",
                                  name, ".crt"));
}

}  // namespace messaging::servers
