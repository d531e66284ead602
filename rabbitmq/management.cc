#include "rabbitmq/management.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "httplib.h"
#include "messaging/broker/url.h"
#include "nlohmann/json.hpp"

namespace messaging::rabbitmq {
namespace {

constexpr int kManagementPort = 15'672;
constexpr int kPage = 500;
constexpr int kTries = 5;
constexpr absl::Duration kPause = absl::Milliseconds(50);

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const unsigned char c : text) {
    if (std::isalnum(c) || c == '-' || c == '_' || c == '.') {
      escaped.push_back(static_cast<char>(c));
    } else {
      absl::StrAppend(&escaped, "%", absl::Hex(c, absl::kZeroPad2));
    }
  }
  return escaped;
}

}  // namespace

absl::StatusOr<nlohmann::json> Management::Get(const std::string& path) const {
  if (!given()) return absl::UnimplementedError("rabbitmq: AMQP does not tell; the option management_url is not given");
  const absl::StatusOr<Url> url = Url::Parse(options_.management_url);
  if (!url.ok()) return url.status();
  if (url->scheme != "http" || url->hosts.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("rabbitmq: management_url is http://user:password@host:15672, not ", url->Redacted()));
  }
  const Url::Host& host = url->hosts[0];
  const int port = host.port == 0 ? kManagementPort : host.port;
  httplib::Client client(host.name, port);
  client.set_basic_auth(url->user.value_or(options_.user), url->password.value_or(options_.password));
  client.set_connection_timeout(absl::ToChronoMilliseconds(options_.connect_timeout));
  client.set_read_timeout(absl::ToChronoMilliseconds(options_.response_timeout));
  const std::string target = absl::StrCat(url->path == "/" ? "" : url->path, "/api/", path);
  httplib::Result result = client.Get(target);
  // It stumbles over queues that come and go while it lists them.
  for (int tries = 1; tries < kTries && result && result->status >= 500; ++tries) {
    absl::SleepFor(kPause);
    result = client.Get(target);
  }
  const std::string where = absl::StrCat("rabbitmq management ", host.name, ":", port);
  if (!result) return absl::UnavailableError(absl::StrCat(where, ": ", httplib::to_string(result.error())));
  if (result->status == 200) {
    nlohmann::json json = nlohmann::json::parse(result->body, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) return absl::InternalError(absl::StrCat(where, ": what came is no JSON"));
    return json;
  }
  const std::string text = absl::StrCat(where, ": ", path, ": HTTP ", result->status);
  if (result->status == 401) return absl::UnauthenticatedError(text);
  if (result->status == 403) return absl::PermissionDeniedError(text);
  if (result->status == 404) return absl::NotFoundError(text);
  return absl::UnavailableError(text);
}

absl::StatusOr<std::vector<nlohmann::json>> Management::List(const std::string& kind,
                                                             const std::string& columns) const {
  std::vector<nlohmann::json> all;
  const bool pages = kind == "queues";
  for (int page = 1;; ++page) {
    absl::StatusOr<nlohmann::json> some =
        Get(absl::StrCat(kind, "/", Escaped(options_.virtual_host), "?columns=", columns,
                         pages ? absl::StrCat("&page=", page, "&page_size=", kPage) : ""));
    // What was there and is gone makes the last page one too many.
    if (!some.ok() && page > 1) return all;
    if (!some.ok()) return some.status();
    const nlohmann::json& items = some->is_object() && some->contains("items") ? (*some)["items"] : *some;
    for (const nlohmann::json& item : items) {
      if (item.is_object()) all.push_back(item);
    }
    if (!pages || !some->is_object() || page >= some->value("page_count", 1)) return all;
  }
}

}  // namespace messaging::rabbitmq
