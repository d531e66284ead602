#include "cli/check_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/command.h"
#include "cli/json_line.h"
#include "cli/source.h"
#include "cli/status_text.h"
#include "cli/text.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/registry.h"
#include "messaging/broker/url.h"
#include "messaging/dispatch/plan.h"
#include "messaging/internal/environment.h"

namespace messaging::cli {
namespace {

using Level = Finding::Level;

struct CheckFlags {
  ConnectionFlags connection;
  std::vector<std::string> topics;
  std::string group;
  bool strict = false;
  bool json = false;
};

std::string_view Name(Level level) {
  return level == Level::kError ? "error" : level == Level::kWarning ? "warning" : "ok";
}

std::string Painted(const Style& style, Level level, std::string_view text) {
  if (level == Level::kError) return style.Red(text);
  return level == Level::kWarning ? style.Yellow(text) : style.Green(text);
}

std::vector<std::string_view> Lines(std::string_view text) {
  if (text.empty()) return {};
  if (text.back() == '\n') text.remove_suffix(1);
  return absl::StrSplit(text, '\n');
}

// What each group of this program consumes; topics named besides go to the client's group.
std::vector<std::pair<std::string, std::vector<TopicPlan>>> Plans(const CheckFlags& flags, Client& client) {
  const std::vector<Handler> handlers = client.handlers();
  std::set<std::string> groups;
  for (const Handler& handler : handlers) {
    groups.insert(handler.options.group.empty() ? client.group() : handler.options.group);
  }
  if (groups.empty() || !flags.topics.empty()) groups.insert(client.group());
  std::vector<std::pair<std::string, std::vector<TopicPlan>>> plans;
  for (const std::string& group : groups) {
    plans.emplace_back(group, PlanSubscription(handlers, client.group(), group, StartAt::kBeginning).topics);
    if (group != client.group()) continue;
    for (const std::string& topic : flags.topics) {
      auto& known = plans.back().second;
      const bool planned = std::any_of(known.begin(), known.end(), [&](const auto& p) { return p.topic == topic; });
      if (!planned) known.push_back(TopicPlan{.topic = topic});
    }
  }
  return plans;
}

// What several groups have in common is found once for each.
bool Same(const Finding& a, const Finding& b) {
  return a.level == b.level && a.subject == b.subject && a.cure == b.cure && a.expected == b.expected &&
         a.found == b.found && (a.message == b.message || a.level == Level::kOk);
}

ExitCode PrintFindings(const CheckFlags& flags, const std::vector<Finding>& findings, Context& context) {
  return context.Print(flags.json ? FindingsJson(findings) : FindingsText(findings, Style::For(context.out)));
}

// Where it looked, and who said so; null: the settings came to no client. Empty: they came to no URL.
std::string Asked(const CheckFlags& flags, const Client* client, const Context& context) {
  const ClientOptions options = Resolve(flags.connection, flags.group, context.config);
  const auto resolved = internal::ResolveOptions(options, Registry::Global());
  const std::string url = resolved.ok() ? Url::Parse(resolved->broker.url)->Redacted() : "";
  if (client != nullptr && client->url() != url) return absl::StrCat(client->url(), " (this program's own)");
  return url.empty() ? ""
                     : absl::StrCat(url, " (", UrlSource(flags.connection, context.config, options, *resolved), ")");
}

// What kept it from looking is what there is to find.
ExitCode CannotLook(const CheckFlags& flags, const Client* client, const absl::Status& why, Context& context) {
  Finding finding{.level = Level::kError, .subject = "broker", .message = Text(why)};
  const absl::StatusOr<Url> url = Url::Parse(client != nullptr ? client->url() : "");
  if (url.ok() && !url->hosts.empty() && (absl::IsUnavailable(why) || absl::IsDeadlineExceeded(why))) {
    finding.cure = "is it running, and to be reached from here? ";
  }
  if (const std::string asked = Asked(flags, client, context); !asked.empty()) {
    absl::StrAppend(&finding.cure, "asked was ", asked, "; ");
  }
  absl::StrAppend(&finding.cure, "another one: --url URL, MESSAGING_URL, or url in a file of --config");
  const ExitCode printed = PrintFindings(flags, {finding}, context);
  return printed == kOk ? ExitCodeFor(why) : printed;
}

ExitCode Run(const CheckFlags& flags, Client& client, Context& context) {
  std::vector<Finding> findings;
  for (const auto& [group, topics] : Plans(flags, client)) {
    absl::StatusOr<std::vector<Finding>> found = client.broker().admin().Check(group, topics);
    if (!found.ok()) return CannotLook(flags, &client, found.status(), context);
    for (Finding& finding : *found) {
      const bool known =
          std::any_of(findings.begin(), findings.end(), [&](const Finding& other) { return Same(finding, other); });
      if (!known) findings.push_back(std::move(finding));
    }
  }
  const ExitCode printed = PrintFindings(flags, findings, context);
  return printed == kOk ? FindingsCode(findings, flags.strict) : printed;
}

}  // namespace

std::string Diff(std::string_view found, std::string_view expected) {
  const std::vector<std::string_view> a = Lines(found), b = Lines(expected);
  // The longest common subsequence, from each pair of ends: both sides are short.
  std::vector<std::vector<size_t>> common(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = a.size(); i-- > 0;) {
    for (size_t j = b.size(); j-- > 0;) {
      common[i][j] = a[i] == b[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  std::string text;
  for (size_t i = 0, j = 0; i < a.size() || j < b.size();) {
    if (i < a.size() && j < b.size() && a[i] == b[j]) {
      absl::StrAppend(&text, "  ", a[i++], "\n");
      ++j;
    } else if (i < a.size() && (j == b.size() || common[i + 1][j] >= common[i][j + 1])) {
      absl::StrAppend(&text, "- ", a[i++], "\n");
    } else {
      absl::StrAppend(&text, "+ ", b[j++], "\n");
    }
  }
  return text;
}

std::string FindingsText(const std::vector<Finding>& findings, const Style& style) {
  constexpr size_t kLine = 1000;
  constexpr std::string_view kIndent = "         ";
  size_t width = 0;
  for (const Finding& finding : findings) width = std::max(width, Width(OneLine(finding.subject, kLine)));
  std::string text;
  for (const Finding& finding : findings) {
    const std::string subject = OneLine(finding.subject, kLine);
    const std::string_view level = Name(finding.level);
    absl::StrAppend(&text, Painted(style, finding.level, level), std::string(kIndent.size() - level.size(), ' '),
                    subject, std::string(width - Width(subject) + 2, ' '), OneLine(finding.message, kLine), "\n");
    const std::string diff = Diff(finding.found, finding.expected);
    for (std::string_view line : Lines(diff)) {
      const std::string safe = OneLine(line, kLine);
      absl::StrAppend(&text, kIndent,
                      safe[0] == '-'   ? style.Red(safe)
                      : safe[0] == '+' ? style.Green(safe)
                                       : safe,
                      "\n");
    }
    if (!finding.cure.empty()) absl::StrAppend(&text, kIndent, "cure: ", OneLine(finding.cure, kLine), "\n");
  }
  return text;
}

std::string FindingsJson(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) {
    JsonLine line;
    line.Text("level", Name(finding.level)).Text("subject", finding.subject).Text("message", finding.message);
    if (!finding.cure.empty()) line.Text("cure", finding.cure);
    if (!finding.expected.empty()) line.Text("expected", finding.expected);
    if (!finding.found.empty()) line.Text("found", finding.found);
    text += std::move(line).Finish();
  }
  return text;
}

ExitCode FindingsCode(const std::vector<Finding>& findings, bool strict) {
  for (const Finding& finding : findings) {
    if (finding.level == Level::kError || (strict && finding.level == Level::kWarning)) return kFound;
  }
  return kOk;
}

void AddCheckCommand(CLI::App& app, Action& chosen) {
  CLI::App* command =
      app.add_subcommand("check", "Looks at server, rights, topics and durability, and says what to do about it");
  auto flags = std::make_shared<CheckFlags>();
  AddRepeated(*command, "--topic", flags->topics, "This topic, too, besides those of the handlers")->type_name("TOPIC");
  command->add_option("--group", flags->group, "Consumer group; else MESSAGING_GROUP or the program's name")
      ->type_name("GROUP");
  command->add_flag("--strict", flags->strict, "A warning, too, makes the exit code 7");
  AddJson(*command, flags->json);
  AddConnectionFlags(*command, flags->connection);
  AddExamples(*command, {"check", "check --topic orders.created --group billing", "check --strict --json"});
  command->callback([&chosen, flags] {
    chosen = [flags](Context& context) {
      const absl::StatusOr<Client*> client = OpenClient(flags->connection, flags->group, context.config);
      return client.ok() ? Run(*flags, **client, context) : CannotLook(*flags, nullptr, client.status(), context);
    };
  });
}

}  // namespace messaging::cli
