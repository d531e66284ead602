#include "cli/program.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "cli/consumer_command.h"
#include "cli/deadletters_command.h"
#include "cli/handlers_command.h"
#include "cli/send_command.h"
#include "cli/suggestion.h"
#include "messaging/broker/registry.h"

namespace messaging::cli {
namespace {

constexpr std::string_view kVersion = "0.1.0";  // As in MODULE.bazel.

constexpr std::string_view kFooter = R"(Examples:
  PROGRAM send orders.created '{"order_id": 7}' --key 7
  PROGRAM send orders.created --file orders.ndjson
  PROGRAM consumer --topic orders.created --url sqlite:///var/lib/shop/messages.db
  PROGRAM deadletters list --topic orders.created
  PROGRAM deadletters replay --handler ChargePayment

Broker and URL: by flag, then MESSAGING_BROKER and MESSAGING_URL, then KAFKA_BOOTSTRAP_SERVERS, RABBITMQ_URL, REDIS_URL.

Exit codes:
  0  done; a consumer was stopped and has finished what was in hand
  1  failed while running: broker not reachable, database corrupt, disk full
  2  the command line is wrong
  3  broker, URL, handlers or what they need are not right
  4  sent, but for the lines named: malformed or refused
  5  a handler did not return within the drain timeout
  6  standard output was closed; what was not printed is not acknowledged
  128 + N  ended by signal N: 130 for Ctrl-C, 143 for SIGTERM)";

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
  const std::string near = NearestName(word, names);
  std::string text = absl::StrCat(flag            ? "unknown flag "
                                  : names.empty() ? "unexpected argument "
                                                  : "unknown command ",
                                  word);
  if (!near.empty()) absl::StrAppend(&text, "; did you mean ", near, "?");
  return text;
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

}  // namespace

ExitCode RunProgram(int argc, const char* const* argv, Context& context) {
  context.program = argc > 0 ? BaseName(argv[0]) : "core";
  CLI::App app("Asynchronous messaging with typed handlers", context.program);
  app.footer(absl::StrReplaceAll(kFooter, {{"PROGRAM", context.program}}));
  app.set_version_flag("--version", [&context] { return Version(context.program); });
  Action chosen;
  AddConsumerCommand(app, chosen);
  AddSendCommand(app, chosen);
  AddHandlersCommand(app, chosen);
  AddDeadLettersCommand(app, chosen);
  app.require_subcommand(1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return Report(app, error, context);
  }
  return chosen(context);
}

}  // namespace messaging::cli
