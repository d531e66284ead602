#include "cli/command.h"

#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/status_text.h"

namespace messaging::cli {

void AddExamples(CLI::App& command, const std::vector<std::string>& lines) {
  const CLI::App* root = &command;
  while (root->get_parent() != nullptr) root = root->get_parent();
  std::string text = "Examples:";
  for (const std::string& line : lines) absl::StrAppend(&text, "\n  ", root->get_name(), " ", line);
  command.footer(text);
}

void AddJson(CLI::App& command, bool& json) {
  command.add_flag("--json", json, "For programs: one JSON object a line");
}

CLI::Option* AddRepeated(CLI::App& command, const std::string& name, std::vector<std::string>& values,
                         const std::string& what) {
  return command.add_option(name, values, absl::StrCat(what, "; may be repeated"))
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

ExitCode Fail(const absl::Status& status, Context& context) {
  if (status.message().empty()) {
    context.Say(Text(status));
  } else {
    for (std::string_view line : absl::StrSplit(status.message(), '\n')) context.Say(line);
  }
  return ExitCodeFor(status);
}

ExitCode WithClient(const ConnectionFlags& flags, const std::string& group, Context& context,
                    const std::function<ExitCode(Client&)>& run) {
  const absl::StatusOr<Client*> client = OpenClient(flags, group, context.config);
  if (!client.ok()) return Fail(client.status(), context);
  return run(**client);
}

std::string ShortDuration(absl::Duration duration) {
  if (duration <= absl::ZeroDuration()) return "now";
  const absl::Duration unit = duration < absl::Seconds(1) ? absl::Milliseconds(1) : absl::Seconds(1);
  return absl::FormatDuration(absl::Ceil(duration, unit));
}

std::string LocalTime(absl::Time time) { return absl::FormatTime("%Y-%m-%d %H:%M:%S", time, absl::LocalTimeZone()); }

absl::StatusOr<std::pair<std::string, std::string>> NameAndValue(const std::string& flag, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return absl::InvalidArgumentError(absl::StrCat(flag, ": \"", text, "\" is not NAME=VALUE"));
  }
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

}  // namespace messaging::cli
