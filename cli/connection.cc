#include "cli/connection.h"

#include <CLI/CLI.hpp>

#include "messaging/messaging.h"

namespace messaging::cli {

void AddConnectionFlags(CLI::App& command, ConnectionFlags& flags) {
  command
      .add_option("--broker", flags.broker, "Broker by name; else by the URL, MESSAGING_BROKER, or the one linked in")
      ->type_name("NAME");
  command
      .add_option("--url", flags.url, "Where it is, as sqlite:///path/file.db; else MESSAGING_URL or the broker's own")
      ->type_name("URL");
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

absl::StatusOr<Client*> OpenClient(const ConnectionFlags& flags, const std::string& group) {
  if (!flags.broker.empty() || !flags.url.empty() || !group.empty()) {
    ClientOptions options;
    options.broker = flags.broker;
    options.url = flags.url;
    options.group = group;
    const absl::Status configured = Configure(std::move(options));
    if (absl::IsFailedPrecondition(configured)) {
      return absl::FailedPreconditionError(
          "this program sets its broker itself: --broker, --url and --group do not apply");
    }
    if (!configured.ok()) return configured;
  }
  return DefaultClient();
}

}  // namespace messaging::cli
