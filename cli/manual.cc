#include "cli/manual.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "cli/exit_codes.h"

namespace messaging::cli {
namespace {

const std::vector<std::pair<std::string, std::string>>& Variables() {
  static const auto* const variables = new std::vector<std::pair<std::string, std::string>>{
      {"MESSAGING_BROKER", "broker by name"},
      {"MESSAGING_URL", "where it is; a password in it is hidden in all output"},
      {"MESSAGING_GROUP", "consumer group"},
      {"MESSAGING_CONFIG", "configuration file"},
      {"KAFKA_BOOTSTRAP_SERVERS, RABBITMQ_URL, REDIS_URL", "the broker's own URL, where MESSAGING_URL is not set"},
      {"NO_COLOR", "no colours on a terminal"},
  };
  return *variables;
}

std::string FlagName(const FlagInfo& flag) {
  return flag.value.empty() ? flag.name : absl::StrCat(flag.name, " ", flag.value);
}

// The help, with the values there are and the default.
std::string FlagHelp(const FlagInfo& flag) {
  std::string text = flag.help;
  if (!flag.choices.empty()) absl::StrAppend(&text, " (", absl::StrJoin(flag.choices, ", "), ")");
  if (!flag.default_value.empty()) absl::StrAppend(&text, " [", flag.default_value, "]");
  return text;
}

// Text as roff has it, in one line.
std::string Roff(std::string_view text) {
  std::string line =
      absl::StrReplaceAll(text, {{"\\", "\\e"}, {"-", "\\-"}, {"'", "\\(aq"}, {"^", "\\(ha"}, {"~", "\\(ti"}});
  return !line.empty() && line[0] == '.' ? absl::StrCat("\\&", line) : line;
}

// In lines as short as roff likes them, with their ends.
std::string RoffText(std::string_view text) {
  constexpr size_t kLine = 72;
  std::string lines, line;
  for (const std::string& word : std::vector<std::string>(absl::StrSplit(text, ' '))) {
    if (!line.empty() && line.size() + 1 + word.size() > kLine) {
      absl::StrAppend(&lines, Roff(line), "\n");
      line.clear();
    }
    absl::StrAppend(&line, line.empty() ? "" : " ", word);
  }
  return absl::StrCat(lines, Roff(line), "\n");
}

void RoffItem(std::string_view name, std::string_view text, std::string& to) {
  absl::StrAppend(&to, ".TP\n.B ", Roff(name), "\n", RoffText(text));
}

std::string Escaped(std::string_view text) {
  return absl::StrReplaceAll(text, {{"|", "\\|"}, {"<", "\\<"}, {"*", "\\*"}, {"_", "\\_"}});
}

}  // namespace

std::string ManPage(const std::string& program, const std::string& version, const CommandInfo& root) {
  std::string text = absl::StrCat(
      ".TH ", absl::AsciiStrToUpper(program), " 1 2026-11-25 \"core messaging ", version, "\"\n.SH NAME\n",
      Roff(program), " \\- ", Roff("asynchronous messaging over Kafka, RabbitMQ, Redis or SQLite"),
      "\n.SH SYNOPSIS\n.B ", Roff(program), "\n.I COMMAND\n[ARGUMENT ...] [FLAG ...]\n", ".SH DESCRIPTION\n",
      RoffText("Runs a service's message handlers, and shows and mends what its broker holds. A program "
               "with handlers of its own has the same commands."),
      ".SH COMMANDS\n");
  for (const CommandInfo* command : Leaves(root)) {
    absl::StrAppend(&text, ".SS ", Roff(Synopsis(*command)), "\n", RoffText(command->help + "."));
    for (const FlagInfo& argument : command->arguments) {
      RoffItem(absl::AsciiStrToUpper(argument.name), FlagHelp(argument), text);
    }
    for (const FlagInfo& flag : command->flags) RoffItem(FlagName(flag), FlagHelp(flag), text);
    if (!command->examples.empty()) absl::StrAppend(&text, ".PP\nExamples:\n.PP\n.nf\n");
    for (const std::string& example : command->examples) absl::StrAppend(&text, Roff(example), "\n");
    if (!command->examples.empty()) absl::StrAppend(&text, ".fi\n");
  }
  absl::StrAppend(&text, ".SH EXIT STATUS\n");
  for (const auto& [code, meaning] : ExitCodeTexts()) RoffItem(code, meaning, text);
  absl::StrAppend(&text, ".SH ENVIRONMENT\n");
  for (const auto& [name, meaning] : Variables()) RoffItem(name, meaning, text);
  return text;
}

std::string MarkdownReference(const std::string& program, const CommandInfo& root) {
  std::string text;
  for (const CommandInfo* command : Leaves(root)) {
    absl::StrAppend(&text, "### ", program, " ", command->path, "\n\n", command->help, ".\n\n",
                    "| argument or flag | what |\n| --- | --- |\n");
    for (const FlagInfo& argument : command->arguments) {
      absl::StrAppend(&text, "| `", absl::AsciiStrToUpper(argument.name), "` | ", Escaped(FlagHelp(argument)), " |\n");
    }
    for (const FlagInfo& flag : command->flags) {
      absl::StrAppend(&text, "| `", FlagName(flag), "` | ", Escaped(FlagHelp(flag)), " |\n");
    }
    absl::StrAppend(&text, "\n");
    for (const std::string& example : command->examples) absl::StrAppend(&text, "- `", example, "`\n");
    if (!command->examples.empty()) absl::StrAppend(&text, "\n");
  }
  absl::StrAppend(&text, "### Exit codes\n\n| code | meaning |\n| --- | --- |\n");
  for (const auto& [code, meaning] : ExitCodeTexts())
    absl::StrAppend(&text, "| ", code, " | ", Escaped(meaning), " |\n");
  absl::StrAppend(&text, "\n### Environment\n\n| variable | meaning |\n| --- | --- |\n");
  for (const auto& [name, meaning] : Variables()) absl::StrAppend(&text, "| `", name, "` | ", Escaped(meaning), " |\n");
  return text;
}

}  // namespace messaging::cli
