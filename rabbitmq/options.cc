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
#include "rabbitmq/rabbitmq_broker.h"

namespace messaging {
namespace {

constexpr int kPort = 5'672;
constexpr int kTlsPort = 5'671;

struct Setting {
  const char* name;
  std::string expected;
  std::function<bool(const std::string& value, RabbitmqOptions& options)> set;
};

Setting Text(const char* name, std::string RabbitmqOptions::*field) {
  return {name, "a text", [field](const std::string& value, RabbitmqOptions& options) {
            options.*field = value;
            return true;
          }};
}

Setting Time(const char* name, absl::Duration RabbitmqOptions::*field) {
  return {name, "a duration as 500ms, 30s or 30m", [field](const std::string& value, RabbitmqOptions& options) {
            return absl::ParseDuration(value, &(options.*field)) && options.*field >= absl::ZeroDuration();
          }};
}

Setting Number(const char* name, int RabbitmqOptions::*field, int least, int most) {
  return {name, absl::StrCat("a number from ", least, " to ", most),
          [field, least, most](const std::string& value, RabbitmqOptions& options) {
            return absl::SimpleAtoi(value, &(options.*field)) && options.*field >= least && options.*field <= most;
          }};
}

Setting Either(const char* name, const char* usual, const char* other, bool RabbitmqOptions::*field) {
  return {name, absl::StrCat(usual, " or ", other),
          [usual, other, field](const std::string& value, RabbitmqOptions& options) {
            options.*field = value == other;
            return value == usual || value == other;
          }};
}

const std::vector<Setting>& Settings() {
  static const auto* const settings = new std::vector<Setting>{
      Text("tls_ca", &RabbitmqOptions::tls_ca),
      Text("tls_certificate", &RabbitmqOptions::tls_certificate),
      Text("tls_key", &RabbitmqOptions::tls_key),
      Text("tls_server_name", &RabbitmqOptions::tls_server_name),
      Either("tls_verify", "false", "true", &RabbitmqOptions::tls_verify),
      Either("auth", "plain", "external", &RabbitmqOptions::external_auth),
      Text("exchange", &RabbitmqOptions::exchange),
      Either("queue_type", "quorum", "classic", &RabbitmqOptions::classic_queues),
      Number("partitions", &RabbitmqOptions::partitions, 0, 1'000),
      Number("prefetch", &RabbitmqOptions::prefetch, 0, 65'535),
      Number("confirm_window", &RabbitmqOptions::confirm_window, 1, 1'000'000),
      Time("consumer_timeout", &RabbitmqOptions::consumer_timeout),
      Text("management_url", &RabbitmqOptions::management_url),
      Number("frame_size", &RabbitmqOptions::frame_size, 4'096, 16 << 20),
      Time("heartbeat", &RabbitmqOptions::heartbeat),
      Time("connect_timeout", &RabbitmqOptions::connect_timeout),
      Time("response_timeout", &RabbitmqOptions::response_timeout),
      Time("start_timeout", &RabbitmqOptions::start_timeout),
  };
  return *settings;
}

absl::Status Set(RabbitmqOptions& options, const std::string& name, const std::string& value) {
  std::vector<std::string> names;
  for (const Setting& setting : Settings()) {
    if (name == setting.name) {
      if (setting.set(value, options)) return absl::OkStatus();
      // A URL may hold a password.
      return absl::InvalidArgumentError(absl::StrCat("rabbitmq: ", name, " is ", setting.expected,
                                                     name == "management_url" ? "" : absl::StrCat(", not ", value)));
    }
    names.push_back(setting.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("rabbitmq has no option ", name, "; it has ", absl::StrJoin(names, ", ")));
}

absl::Status CheckTopics(const RabbitmqOptions& options) {
  for (const auto& [topic, of_topic] : options.topics) {
    for (const auto& [name, value] : of_topic.settings) {
      if (name != "queue" && name != "exchange" && name != "routing_key") {
        return absl::InvalidArgumentError(
            absl::StrCat("rabbitmq: topic ", topic, " has no setting ", name, "; it has queue, exchange, routing_key"));
      }
      if (value.size() > 255) {
        return absl::InvalidArgumentError(absl::StrCat("rabbitmq: topic ", topic, ": ", name, " is too long"));
      }
    }
    if (of_topic.partitions > 0 && !options.SettingOf(topic, "queue").empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("rabbitmq: topic ", topic, " is one queue that others made: it has no partitions"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string RabbitmqOptions::Address() const {
  return absl::StrCat("rabbitmq ", absl::StrJoin(hosts, ",", [](std::string* out, const Url::Host& host) {
                        absl::StrAppend(out, host.name, ":", host.port);
                      }));
}

int RabbitmqOptions::PartitionsOf(const std::string& topic) const {
  if (!SettingOf(topic, "queue").empty()) return 0;
  const auto found = topics.find(topic);
  return found == topics.end() || found->second.partitions == 0 ? partitions : found->second.partitions;
}

std::string RabbitmqOptions::SettingOf(const std::string& topic, const std::string& name) const {
  const auto found = topics.find(topic);
  if (found == topics.end()) return "";
  const auto setting = found->second.settings.find(name);
  return setting == found->second.settings.end() ? "" : setting->second;
}

absl::StatusOr<RabbitmqOptions> ParseRabbitmqOptions(const BrokerOptions& given) {
  absl::StatusOr<Url> url = Url::Parse(given.url);
  if (!url.ok()) return url.status();
  RabbitmqOptions options;
  options.tls = url->scheme == "amqps";
  if (!url->hosts.empty()) options.hosts = url->hosts;
  for (Url::Host& host : options.hosts) {
    if (host.name.empty()) host.name = "127.0.0.1";
    if (host.port == 0 || url->hosts.empty()) host.port = options.tls ? kTlsPort : kPort;
  }
  if (url->user) options.user = *url->user;
  if (url->password) options.password = *url->password;
  if (url->path.size() > 1) options.virtual_host = url->path.substr(1);
  options.topics = given.topics;
  options.client_name = given.client_name;
  options.observer = given.observer;
  absl::Status status;
  for (const auto& [name, value] : url->query) status.Update(Set(options, name, value));
  for (const auto& [name, value] : given.native) status.Update(Set(options, name, value));
  status.Update(CheckTopics(options));
  if (!status.ok()) return status;
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    return absl::InvalidArgumentError("rabbitmq: tls_certificate and tls_key come together");
  }
  if (options.exchange.empty() || options.exchange.size() > 255) {
    return absl::InvalidArgumentError("rabbitmq: exchange is a name of 1 to 255 bytes");
  }
  return options;
}

}  // namespace messaging
