#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "messaging/broker/url.h"
#include "redis/redis_broker.h"

namespace messaging {
namespace {

struct Setting {
  const char* name;
  const char* expected;
  std::function<bool(const std::string& value, RedisOptions& options)> set;
};

Setting Text(const char* name, std::string RedisOptions::*field) {
  return {name, "a text", [field](const std::string& value, RedisOptions& options) {
            options.*field = value;
            return true;
          }};
}

Setting Time(const char* name, absl::Duration RedisOptions::*field) {
  return {name, "a duration as 500ms, 30s or 168h", [field](const std::string& value, RedisOptions& options) {
            return absl::ParseDuration(value, &(options.*field)) && options.*field >= absl::ZeroDuration();
          }};
}

Setting Flag(const char* name, bool RedisOptions::*field) {
  return {name, "true or false", [field](const std::string& value, RedisOptions& options) {
            return absl::SimpleAtob(value, &(options.*field));
          }};
}

const std::vector<Setting>& Settings() {
  static const auto* const settings = new std::vector<Setting>{
      Text("tls_ca", &RedisOptions::tls_ca),
      Text("tls_certificate", &RedisOptions::tls_certificate),
      Text("tls_key", &RedisOptions::tls_key),
      Text("tls_server_name", &RedisOptions::tls_server_name),
      Flag("tls_verify", &RedisOptions::tls_verify),
      Time("claim_idle", &RedisOptions::claim_idle),
      Time("retention", &RedisOptions::retention),
      {"max_length", "a number",
       [](const std::string& value, RedisOptions& options) {
         return absl::SimpleAtoi(value, &options.max_length) && options.max_length >= 0;
       }},
      Flag("trim_unhandled", &RedisOptions::trim_unhandled),
      {"partitions", "a number up to 1000",
       [](const std::string& value, RedisOptions& options) {
         return absl::SimpleAtoi(value, &options.partitions) && options.partitions >= 0 && options.partitions <= 1'000;
       }},
      {"wait_replicas", "a number",
       [](const std::string& value, RedisOptions& options) {
         return absl::SimpleAtoi(value, &options.wait_replicas) && options.wait_replicas >= 0;
       }},
      Time("wait_timeout", &RedisOptions::wait_timeout),
      Time("connect_timeout", &RedisOptions::connect_timeout),
      Time("response_timeout", &RedisOptions::response_timeout),
      Time("start_timeout", &RedisOptions::start_timeout),
  };
  return *settings;
}

absl::Status Set(RedisOptions& options, const std::string& name, const std::string& value) {
  std::vector<std::string> names;
  for (const Setting& setting : Settings()) {
    if (name == setting.name) {
      if (setting.set(value, options)) return absl::OkStatus();
      return absl::InvalidArgumentError(absl::StrCat("redis: ", name, " is ", setting.expected, ", not ", value));
    }
    names.push_back(setting.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("redis has no option ", name, "; it has ", absl::StrJoin(names, ", ")));
}

absl::Status SetPlace(const Url& url, RedisOptions& options) {
  if (url.scheme == "redis+unix") {
    options.unix_socket = url.path;
    if (url.path.empty()) {
      return absl::InvalidArgumentError("redis: the URL names no socket: redis+unix:///run/redis/redis.sock");
    }
    return absl::OkStatus();
  }
  if (url.hosts.size() > 1) return absl::InvalidArgumentError("redis: one host, not a list");
  if (!url.hosts.empty() && !url.hosts[0].name.empty()) options.host = url.hosts[0].name;
  if (!url.hosts.empty() && url.hosts[0].port != 0) options.port = url.hosts[0].port;
  const std::string database = url.path.empty() ? "" : url.path.substr(1);
  if (!database.empty() && (!absl::SimpleAtoi(database, &options.database) || options.database < 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("redis: the URL's path is the number of a database, as in redis://host/0, not ", database));
  }
  return absl::OkStatus();
}

}  // namespace

std::string RedisOptions::Address() const {
  return unix_socket.empty() ? absl::StrCat("redis ", host, ":", port) : absl::StrCat("redis ", unix_socket);
}

int RedisOptions::PartitionsOf(const std::string& topic) const {
  const auto found = topics.find(topic);
  return found == topics.end() || found->second.partitions == 0 ? partitions : found->second.partitions;
}

absl::StatusOr<RedisOptions> ParseRedisOptions(const BrokerOptions& given) {
  absl::StatusOr<Url> url = Url::Parse(given.url);
  if (!url.ok()) return url.status();
  RedisOptions options;
  options.tls = url->scheme == "rediss";
  options.user = url->user.value_or("");
  options.password = url->password.value_or("");
  if (options.password.empty() && !options.user.empty()) std::swap(options.user, options.password);  // redis://secret@
  options.topics = given.topics;
  options.client_name = given.client_name;
  options.observer = given.observer;
  absl::Status status = SetPlace(*url, options);
  for (const auto& [name, value] : url->query) status.Update(Set(options, name, value));
  for (const auto& [name, value] : given.native) status.Update(Set(options, name, value));
  if (!status.ok()) return status;
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    return absl::InvalidArgumentError("redis: tls_certificate and tls_key come together");
  }
  return options;
}

}  // namespace messaging
