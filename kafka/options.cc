#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "kafka/kafka_broker.h"
#include "messaging/broker/url.h"

namespace messaging {
namespace {

struct Setting {
  const char* name;
  const char* expected;
  std::function<bool(const std::string& value, KafkaOptions& options)> set;
};

Setting Time(const char* name, absl::Duration KafkaOptions::*field) {
  return {name, "a duration as 500ms, 30s or 1h", [field](const std::string& value, KafkaOptions& options) {
            return absl::ParseDuration(value, &(options.*field)) && options.*field >= absl::ZeroDuration();
          }};
}

Setting Number(const char* name, int KafkaOptions::*field, int least) {
  return {name, "a number", [field, least](const std::string& value, KafkaOptions& options) {
            return absl::SimpleAtoi(value, &(options.*field)) && options.*field >= least;
          }};
}

const std::vector<Setting>& Settings() {
  static const auto* const settings = new std::vector<Setting>{
      {"create_topics", "true or false",
       [](const std::string& value, KafkaOptions& options) { return absl::SimpleAtob(value, &options.create_topics); }},
      Number("retry_partitions", &KafkaOptions::retry_partitions, 1),
      Number("internal_replicas", &KafkaOptions::internal_replicas, 0),
      Time("commit_interval", &KafkaOptions::commit_interval),
      Time("revoke_timeout", &KafkaOptions::revoke_timeout),
      Time("start_timeout", &KafkaOptions::start_timeout),
  };
  return *settings;
}

// What the driver does itself: librdkafka must not, or it would acknowledge what nobody has handled.
constexpr std::string_view kOwned[] = {"bootstrap.servers",        "metadata.broker.list", "group.id",
                                       "enable.auto.commit",       "auto.offset.reset",    "enable.partition.eof",
                                       "enable.auto.offset.store", "transactional.id"};

absl::Status ReadFile(const std::string& path, KafkaOptions& options);

absl::Status Set(KafkaOptions& options, const std::string& name, const std::string& value) {
  if (name == "config") return ReadFile(value, options);
  for (const Setting& setting : Settings()) {
    if (name != setting.name) continue;
    if (setting.set(value, options)) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("kafka: ", name, " is ", setting.expected, ", not ", value));
  }
  for (const std::string_view owned : kOwned) {
    if (name == owned) {
      return absl::InvalidArgumentError(absl::StrCat("kafka: ", name, " is not to be set: the URL, the group and the ",
                                                     "consumer's options decide it"));
    }
  }
  // Names of librdkafka hold a dot, or are a word of its own; which there are it says itself when it is configured.
  if (absl::StrContains(name, '_')) {
    std::vector<std::string> names = {"config"};
    for (const Setting& setting : Settings()) names.push_back(setting.name);
    return absl::InvalidArgumentError(absl::StrCat("kafka: no option ", name, "; there are ",
                                                   absl::StrJoin(names, ", "), " and the properties of librdkafka"));
  }
  options.properties[name] = value;
  return absl::OkStatus();
}

absl::Status ReadFile(const std::string& path, KafkaOptions& options) {
  std::ifstream file(path);
  if (!file) return absl::InvalidArgumentError(absl::StrCat("kafka: config: cannot read ", path));
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    const std::string_view text = absl::StripAsciiWhitespace(line);
    if (text.empty() || text[0] == '#') continue;
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) {  // The line may hold a secret: it is not shown.
      return absl::InvalidArgumentError(absl::StrCat("kafka: ", path, ", line ", number, ": NAME=VALUE is wanted"));
    }
    const std::string name(absl::StripTrailingAsciiWhitespace(text.substr(0, equals)));
    const std::string value(absl::StripLeadingAsciiWhitespace(text.substr(equals + 1)));
    if (name == "config") return absl::InvalidArgumentError(absl::StrCat("kafka: ", path, " names another file"));
    if (name == "bootstrap.servers") {
      options.servers = value;
    } else if (absl::Status status = Set(options, name, value); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

std::string HostText(const Url::Host& host) {
  const std::string name = absl::StrContains(host.name, ':') ? absl::StrCat("[", host.name, "]") : host.name;
  return absl::StrCat(name, ":", host.port == 0 ? 9092 : host.port);
}

void SetSecurity(const Url& url, KafkaOptions& options) {
  const bool tls = url.scheme == "kafka+ssl";
  const bool sasl = url.user.has_value();
  if (tls || sasl) {
    options.properties["security.protocol"] = sasl ? (tls ? "sasl_ssl" : "sasl_plaintext") : "ssl";
  }
  if (!sasl) return;
  options.properties["sasl.mechanism"] = "PLAIN";
  options.properties["sasl.username"] = *url.user;
  options.properties["sasl.password"] = url.password.value_or("");
}

}  // namespace

absl::StatusOr<KafkaOptions> ParseKafkaOptions(const BrokerOptions& given) {
  absl::StatusOr<Url> url = Url::Parse(given.url);
  if (!url.ok()) return url.status();
  if (!url->path.empty() && url->path != "/") {
    return absl::InvalidArgumentError("kafka: the URL has no path: kafka://host1:9092,host2:9092");
  }
  KafkaOptions options;
  std::vector<std::string> servers;
  for (const Url::Host& host : url->hosts) servers.push_back(HostText(host));
  if (!servers.empty()) options.servers = absl::StrJoin(servers, ",");
  SetSecurity(*url, options);
  options.topics = given.topics;
  options.client_name = given.client_name;
  options.observer = given.observer;
  absl::Status status;
  for (const auto& [name, value] : url->query) status.Update(Set(options, name, value));
  for (const auto& [name, value] : given.native) status.Update(Set(options, name, value));
  if (!status.ok()) return status;
  return options;
}

}  // namespace messaging
