#include "cli/program.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "cli/asyncapi_command.h"
#include "cli/bench_command.h"
#include "cli/check_command.h"
#include "cli/config.h"
#include "cli/config_command.h"
#include "cli/consumer_command.h"
#include "cli/deadletters_command.h"
#include "cli/handlers_command.h"
#include "cli/lag_command.h"
#include "cli/reference_command.h"
#include "cli/send_command.h"
#include "cli/suggestion.h"
#include "cli/tail_command.h"
#include "cli/topics_command.h"
#include "messaging/broker/registry.h"

namespace messaging::cli {
namespace {

constexpr std::string_view kVersion = "0.1.0";  // As in MODULE.bazel.

constexpr std::string_view kExamples[] = {
    "send orders.created '{\"order_id\": 7}' --key 7",
    "send orders.created --file orders.ndjson",
    "consumer --topic orders.created --url sqlite:///var/lib/shop/messages.db",
    "lag --watch",
    "check",
    "tail orders.created --last 10",
    "deadletters list --topic orders.created",
    "deadletters replay --handler ChargePayment",
};

constexpr std::string_view kWhere =
    "Broker and URL: by flag, then MESSAGING_BROKER and MESSAGING_URL, then KAFKA_BOOTSTRAP_SERVERS, RABBITMQ_URL, "
    "REDIS_URL.";

std::string Footer(const std::string& program) {
  std::string text = "Examples:\n";
  for (std::string_view example : kExamples) absl::StrAppend(&text, "  ", program, " ", example, "\n");
  absl::StrAppend(&text, "\n", kWhere, "\n\nExit codes:");
  for (const auto& [code, meaning] : ExitCodeTexts()) {
    absl::StrAppend(&text, "\n  ", code, std::string(9 - code.size(), ' '), meaning);
  }
  return text;
}

std::string Version(const std::string& program) {
  std::vector<std::string> brokers;
  for (const BrokerEntry& entry : Registry::Global().entries()) brokers.push_back(entry.name);
  return absl::StrCat(program, " (core messaging ", kVersion,
                      ")\nbrokers: ", brokers.empty() ? "none linked" : absl::StrJoin(brokers, ", "), "\n");
}

std::string BaseName(std::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

// The command that the line names, as deep as it was understood.
CLI::App* Innermost(CLI::App* app) {
  while (!app->get_subcommands().empty()) app = app->get_subcommands().back();
  return app;
}

std::vector<std::string> CommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  return names;
}

std::vector<std::string> FlagNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

// For a word that is no flag, command or argument of `app`.
std::string Unknown(std::string word, const CLI::App& app) {
  word = word.substr(0, word.find('='));
  const bool flag = absl::StartsWith(word, "-");
  const std::vector<std::string> names = flag ? FlagNames(app) : CommandNames(app);
  // A flag of the command's own was given before it.
  if (std::find(names.begin(), names.end(), word) != names.end()) {
    return absl::StrCat(word, " goes behind the command: ", "core ", app.get_name(), " ... ", word);
  }
  return absl::StrCat(flag            ? "unknown flag "
                      : names.empty() ? "unexpected argument "
                                      : "unknown command ",
                      word, DidYouMean(word, names));
}

ExitCode Refuse(CLI::App& app, const std::string& what, Context& context) {
  std::vector<std::string> path;
  for (CLI::App* at = Innermost(&app); at != nullptr && at != &app; at = at->get_parent()) {
    path.insert(path.begin(), at->get_name());
  }
  path.insert(path.begin(), context.program);
  context.Say(absl::StrCat(absl::StrReplaceAll(what, {{"\n", "; "}}), " (see ", absl::StrJoin(path, " "), " --help)"));
  return kUsage;
}

// What the parser threw, as the user should read it.
ExitCode Report(CLI::App& app, const CLI::ParseError& error, Context& context) {
  if (error.get_name() == "CallForHelp" || error.get_name() == "CallForAllHelp") return context.Print(app.help());
  if (error.get_name() == "CallForVersion") return context.Print(Version(context.program));
  CLI::App* innermost = Innermost(&app);
  const std::vector<std::string> rest = app.remaining(/*recurse=*/true);
  // Of all that is wrong with such a line the word that nobody knows comes first: the rest may follow from it.
  if (!rest.empty()) return Refuse(app, Unknown(rest.front(), *innermost), context);
  return Refuse(app, error.what(), context);
}

// What the parser is to see. Behind --exec follows another program's command line, which is none of its business.
std::vector<std::string> Arguments(int argc, const char* const* argv, Context& context) {
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  if (arguments.empty() || arguments[0] != "consumer") return arguments;
  const auto exec = std::find(arguments.begin(), arguments.end(), "--exec");
  if (exec == arguments.end()) return arguments;
  context.behind_exec.assign(exec + 1, arguments.end());
  arguments.erase(exec + 1, arguments.end());
  return arguments;
}

// Reads the file that the command line or the environment names, and completes the command by it.
absl::Status LoadConfig(CLI::App& app, Context& context) {
  CLI::App* command = Innermost(&app);
  const CLI::Option* flag = command->get_option_no_throw("--config");
  if (flag == nullptr) return absl::OkStatus();  // It asks no broker.
  const char* variable = std::getenv("MESSAGING_CONFIG");
  const std::string path = flag->count() > 0 ? flag->as<std::string>() : variable != nullptr ? variable : "";
  if (path.empty()) return absl::OkStatus();
  absl::StatusOr<Config> config = ReadConfig(path, app);
  if (!config.ok()) return config.status();
  context.config = *std::move(config);
  if (!context.config.warning.empty()) context.Say(absl::StrCat("warning: ", context.config.warning));
  return ApplyConfig(context.config, *command);
}

bool ExecGiven(CLI::App& app) {
  const CLI::Option* exec = Innermost(&app)->get_option_no_throw("--exec");
  return exec != nullptr && exec->count() > 0;
}

}  // namespace

ExitCode RunProgram(int argc, const char* const* argv, Context& context) {
  context.program = argc > 0 ? BaseName(argv[0]) : "core";
  CLI::App app("Asynchronous messaging with typed handlers", context.program);
  app.footer(Footer(context.program));
  app.set_version_flag("--version", [&context] { return Version(context.program); });
  Action chosen;
  AddConsumerCommand(app, chosen);
  AddSendCommand(app, chosen);
  AddHandlersCommand(app, chosen);
  AddAsyncApiCommand(app, chosen);
  AddDeadLettersCommand(app, chosen);
  AddLagCommand(app, chosen);
  AddCheckCommand(app, chosen);
  AddTopicsCommand(app, chosen);
  AddTailCommand(app, chosen);
  AddBenchCommand(app, chosen);
  AddConfigCommand(app, chosen);
  AddReferenceCommands(app, std::string(kVersion), chosen);
  app.require_subcommand(1);
  try {
    // The parser takes them from the last to the first.
    std::vector<std::string> arguments = Arguments(argc, argv, context);
    std::reverse(arguments.begin(), arguments.end());
    app.parse(std::move(arguments));
    if (context.behind_exec.empty() && ExecGiven(app)) return Refuse(app, "--exec: a command is missing", context);
    if (absl::Status read = LoadConfig(app, context); !read.ok()) {
      context.Say(read.message());
      return kUsage;
    }
    return chosen(context);
  } catch (const CLI::ParseError& error) {
    return Report(app, error, context);
  }
}

}  // namespace messaging::cli
