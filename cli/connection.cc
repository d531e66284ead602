#include "cli/connection.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "messaging/broker/registry.h"
#include "messaging/messaging.h"

namespace messaging::cli {
namespace {

std::string_view Variable(const std::string& name) {
  const char* value = name.empty() ? nullptr : std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}

bool EnvironmentNamesBroker() {
  if (!Variable("MESSAGING_BROKER").empty() || !Variable("MESSAGING_URL").empty()) return true;
  const std::vector<BrokerEntry> linked = Registry::Global().entries();
  return std::any_of(linked.begin(), linked.end(),
                     [](const BrokerEntry& entry) { return !Variable(entry.environment).empty(); });
}

}  // namespace

void AddConnectionFlags(CLI::App& command, ConnectionFlags& flags) {
  command
      .add_option("--broker", flags.broker, "Broker by name; else by the URL, MESSAGING_BROKER, or the one linked in")
      ->type_name("NAME");
  command
      .add_option("--url", flags.url, "Where it is, as sqlite:///path/file.db; else MESSAGING_URL or the broker's own")
      ->type_name("URL");
  command.add_option("--config", flags.config, "Settings from this file; else MESSAGING_CONFIG")->type_name("FILE");
  const auto parse = [&flags](const std::vector<std::string>& settings) {
    for (const std::string& setting : settings) {
      const size_t equals = setting.find('=');
      if (equals == 0 || equals == setting.npos) {  // It may be a secret: it is not shown.
        throw CLI::ValidationError("--native", "one is not KEY=VALUE, as linger.ms=5");
      }
      flags.native[setting.substr(0, equals)] = setting.substr(equals + 1);
    }
  };
  command
      .add_option_function<std::vector<std::string>>(
          "--native", parse,
          "A setting by the broker's own name, as linger.ms=5; others see a command line: no secrets")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

void AddDuration(CLI::App& command, const std::string& name, absl::Duration& value, const std::string& what) {
  const auto parse = [&value, name](const std::string& text) {
    absl::Duration parsed;
    if (!absl::ParseDuration(text, &parsed) || parsed < absl::ZeroDuration()) {
      throw CLI::ValidationError(name, "'" + text + "' is no duration, as 30s or 1m30s");
    }
    value = parsed;
  };
  command.add_option_function<std::string>(name, parse, what)
      ->type_name("DURATION")
      ->default_str(absl::FormatDuration(value));
}

ClientOptions Resolve(const ConnectionFlags& flags, const std::string& group, const Config& config) {
  ClientOptions options;
  options.broker = flags.broker;
  options.url = flags.url;
  options.group = group;
  options.native = flags.native;
  options.native.insert(config.native.begin(), config.native.end());  // Those that the flags leave out.
  if (options.broker.empty() && options.url.empty() && !EnvironmentNamesBroker()) {
    options.broker = config.broker;
    options.url = config.url;
  }
  if (options.group.empty() && Variable("MESSAGING_GROUP").empty()) options.group = config.group;
  return options;
}

absl::StatusOr<Client*> OpenClient(const ConnectionFlags& flags, const std::string& group, const Config& config) {
  ClientOptions options = Resolve(flags, group, config);
  if (!options.broker.empty() || !options.url.empty() || !options.group.empty() || !options.native.empty()) {
    const absl::Status configured = Configure(std::move(options));
    if (absl::IsFailedPrecondition(configured) && DefaultClient().ok()) {  // Else it is the broker that says so.
      return absl::FailedPreconditionError(
          "this program sets its broker itself: --broker, --url, --group, --native and --config do not apply");
    }
    if (!configured.ok()) return configured;
  }
  return DefaultClient();
}

}  // namespace messaging::cli
