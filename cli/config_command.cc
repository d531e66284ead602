#include "cli/config_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/command.h"
#include "cli/command_tree.h"
#include "cli/connection.h"
#include "cli/json_line.h"
#include "cli/source.h"
#include "cli/style.h"
#include "cli/suggestion.h"
#include "cli/table.h"
#include "messaging/broker/url.h"
#include "messaging/internal/environment.h"

namespace messaging::cli {
namespace {

struct ConfigFlags {
  ConnectionFlags connection;
  std::string group;
  std::string command;  // Only this one's.
  bool json = false;
};

struct Setting {
  std::string name;
  std::string value;
  std::string source;
};

absl::StatusOr<std::vector<Setting>> Connection(const ConfigFlags& flags, const Context& context) {
  const ClientOptions options = Resolve(flags.connection, flags.group, context.config);
  const absl::StatusOr<internal::ResolvedOptions> resolved = internal::ResolveOptions(options, Registry::Global());
  if (!resolved.ok()) return resolved.status();
  std::vector<std::string> broker = UrlVariables(*resolved);
  broker.insert(broker.begin(), "MESSAGING_BROKER");
  std::vector<Setting> settings;
  const std::string& path = context.config.path;
  settings.push_back({"config", path.empty() ? "-" : path,
                      path.empty()                      ? "default"
                      : flags.connection.config.empty() ? "environment MESSAGING_CONFIG"
                                                        : "flag"});
  settings.push_back({"broker", resolved->entry.name,
                      Source(flags.connection.broker.empty() ? flags.connection.url : flags.connection.broker,
                             options.broker.empty() ? options.url : options.broker, broker, context.config)});
  settings.push_back({"url", Url::Parse(resolved->broker.url)->Redacted(),
                      UrlSource(flags.connection, context.config, options, *resolved)});
  settings.push_back(
      {"group", resolved->group, Source(flags.group, options.group, {"MESSAGING_GROUP"}, context.config)});
  for (const auto& [name, value] : options.native) {
    settings.push_back({absl::StrCat("native.", name), Redact(name, value),
                        flags.connection.native.contains(name) ? "flag" : FileSource(context.config)});
  }
  return settings;
}

// What each command does without further flags.
void AddCommands(const CommandInfo& root, const ConfigFlags& flags, const Context& context,
                 std::vector<Setting>& settings) {
  for (const CommandInfo* command : Leaves(root)) {
    if (!flags.command.empty() && command->path != flags.command) continue;
    for (const FlagInfo& flag : command->flags) {
      const std::string name = flag.name.substr(2);
      const auto found = context.config.flags.find(absl::StrCat(command->path, " ", name));
      const bool from_file = found != context.config.flags.end();
      if (!from_file && flag.default_value.empty()) continue;
      settings.push_back({absl::StrCat(absl::StrReplaceAll(command->path, {{" ", "."}}), ".", name),
                          from_file ? absl::StrJoin(found->second, ", ") : flag.default_value,
                          from_file ? FileSource(context.config) : "default"});
    }
  }
}

// Empty: there is such a command, or none was named.
std::string WhyUnknown(const std::string& command, const CommandInfo& root) {
  std::vector<std::string> paths;
  for (const CommandInfo* leaf : Leaves(root)) paths.push_back(leaf->path);
  if (command.empty() || std::find(paths.begin(), paths.end(), command) != paths.end()) return "";
  return absl::StrCat("config show: there is no command ", command, DidYouMean(command, paths));
}

ExitCode Show(const ConfigFlags& flags, const CommandInfo& root, Context& context) {
  if (const std::string why = WhyUnknown(flags.command, root); !why.empty()) {
    context.Say(why);
    return kUsage;
  }
  absl::StatusOr<std::vector<Setting>> settings = Connection(flags, context);
  if (!settings.ok()) return Fail(settings.status(), context);
  AddCommands(root, flags, context, *settings);
  if (flags.json) {
    std::string text;
    for (const Setting& setting : *settings) {
      JsonLine line;
      line.Text("setting", setting.name).Text("value", setting.value).Text("source", setting.source);
      text += std::move(line).Finish();
    }
    return context.Print(text);
  }
  std::vector<std::vector<std::string>> rows = {{"SETTING", "VALUE", "SOURCE"}};
  for (const Setting& setting : *settings) rows.push_back({setting.name, setting.value, setting.source});
  const Style style = Style::For(context.out);
  return context.Print(Table(rows, [&](size_t row, size_t, const std::string& cell) {
    return row == 0 ? style.Bold(cell) : (*settings)[row - 1].source == "default" ? style.Dim(cell) : cell;
  }));
}

}  // namespace

void AddConfigCommand(CLI::App& app, Action& chosen) {
  CLI::App* config = app.add_subcommand("config", "Shows the settings, and where each comes from");
  config->require_subcommand(1);
  CLI::App* show = config->add_subcommand(
      "show", "Each setting with its value, and whether that is by flag, environment, file or default");
  auto flags = std::make_shared<ConfigFlags>();
  show->add_option("command", flags->command, "Only this command's, as \"deadletters replay\"")->type_name("COMMAND");
  show->add_option("--group", flags->group, "Consumer group; else MESSAGING_GROUP or the program's name")
      ->type_name("GROUP");
  AddJson(*show, flags->json);
  AddConnectionFlags(*show, flags->connection);
  AddExamples(*config, {"config show"});
  AddExamples(*show, {"config show", "config show consumer --config core.toml", "config show --json"});
  show->callback([&app, &chosen, flags] {
    chosen = [&app, flags](Context& context) { return Show(*flags, Describe(app), context); };
  });
}

}  // namespace messaging::cli
