// URLs of brokers, as users write them in options and environment variables.
#ifndef MESSAGING_BROKER_URL_H_
#define MESSAGING_BROKER_URL_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace messaging {

// scheme://user:password@host1:port,host2:port/path?name=value&name=value
//
// Everything but the scheme is optional. Users, passwords, hosts, paths and query parts may be percent-encoded; a
// password that holds any of : / ? # @ has to be. An IPv6 address stands in brackets. A broker that is a file takes
// FilePath(): sqlite:///var/lib/orders.db is absolute, sqlite://orders.db and sqlite://data/orders.db are relative to
// the working directory.
struct Url {
  struct Host {
    std::string name;  // An IPv6 address without its brackets.
    int port = 0;      // 0: none given.
  };

  std::string scheme;  // In lower case.
  std::optional<std::string> user;
  std::optional<std::string> password;
  std::vector<Host> hosts;
  std::string path;  // With its leading '/'; empty where there is none.
  std::vector<std::pair<std::string, std::string>> query;

  // InvalidArgument for anything else, any bytes; says what is wrong and shows nothing that could be a password.
  static absl::StatusOr<Url> Parse(std::string_view text);

  // The value of the last parameter of that name.
  std::optional<std::string_view> Query(std::string_view name) const;
  std::string FilePath() const;
  // For logs and errors: as a URL, with *** for the password, and query values as Redact shows them.
  std::string Redacted() const;
};

// Whether what has such a name is not to be shown: it holds pass, secret, token, jaas or key.pem.
bool IsSecretName(std::string_view name);

// A setting's value for logs and errors: *** where its name or its form is that of a secret; a URL without its
// password.
std::string Redact(std::string_view name, std::string_view value);

}  // namespace messaging

#endif  // MESSAGING_BROKER_URL_H_
