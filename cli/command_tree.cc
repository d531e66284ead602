#include "cli/command_tree.h"

#include <CLI/CLI.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cli/config.h"

namespace messaging::cli {
namespace {

// "PLACE:{beginning,now}" has choices; "N:INT in [1 - 4096]" has none.
FlagInfo DescribeOption(const CLI::Option& option) {
  FlagInfo info{.help = option.get_description(), .default_value = option.get_default_str()};
  info.name = option.get_lnames().empty() ? option.get_name(/*positional=*/true) : "--" + option.get_lnames()[0];
  const std::string type = option.get_items_expected_max() == 0 ? "" : option.get_type_name();
  const size_t open = type.find('{'), close = type.rfind('}');
  const bool checked = open != std::string::npos || absl::StrContains(type, " in [");
  info.value = checked ? type.substr(0, type.find(':')) : type;  // "HOST:PORT" is one name.
  if (open != std::string::npos && close != std::string::npos) {
    info.choices = absl::StrSplit(type.substr(open + 1, close - open - 1), ',');
  }
  return info;
}

void Collect(const CommandInfo& at, bool leaves, std::vector<const CommandInfo*>& to) {
  if (!leaves || at.commands.empty()) to.push_back(&at);
  for (const CommandInfo& command : at.commands) Collect(command, leaves, to);
}

}  // namespace

CommandInfo Describe(const CLI::App& app) {
  CommandInfo info{.path = CommandPath(app), .help = app.get_description()};
  for (const CLI::Option* option : app.get_options()) {
    (option->get_lnames().empty() ? info.arguments : info.flags).push_back(DescribeOption(*option));
    // One that can be both is an argument, too.
    if (option->get_positional() && !option->get_lnames().empty()) {
      info.arguments.push_back(DescribeOption(*option));
      info.arguments.back().name = option->get_name(/*positional=*/true);
    }
  }
  bool examples = false;
  for (std::string_view line : absl::StrSplit(app.get_footer(), '\n')) {
    if (line == "Examples:") {
      examples = true;
    } else if (examples && absl::ConsumePrefix(&line, "  ")) {
      info.examples.emplace_back(line);
    } else {
      examples = false;
    }
  }
  for (const CLI::App* command : const_cast<CLI::App&>(app).get_subcommands([](const CLI::App*) { return true; })) {
    info.commands.push_back(Describe(*command));
  }
  return info;
}

std::vector<const CommandInfo*> Leaves(const CommandInfo& root) {
  std::vector<const CommandInfo*> leaves;
  Collect(root, /*leaves=*/true, leaves);
  return leaves;
}

std::vector<const CommandInfo*> All(const CommandInfo& root) {
  std::vector<const CommandInfo*> all;
  Collect(root, /*leaves=*/false, all);
  return all;
}

std::string Synopsis(const CommandInfo& command) {
  std::string text = command.path;
  for (const FlagInfo& argument : command.arguments) absl::StrAppend(&text, " ", absl::AsciiStrToUpper(argument.name));
  return absl::StrCat(text, " [FLAG ...]");
}

}  // namespace messaging::cli
