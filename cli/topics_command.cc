#include "cli/topics_command.h"

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/json_line.h"
#include "cli/known.h"
#include "cli/lag_command.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/text.h"
#include "messaging/broker/broker.h"
#include "messaging/message.h"

namespace messaging::cli {
namespace {

struct TopicsFlags {
  ConnectionFlags connection;
  std::string topic;
  std::vector<std::string> groups;
  std::vector<std::string> settings;  // NAME=VALUE
  TopicOptions options;
  bool yes = false;
  bool json = false;
};

std::string Figure(const std::optional<int64_t>& number) { return number ? Thousands(*number) : "?"; }

ExitCode List(const TopicsFlags& flags, Admin& admin, Context& context) {
  const absl::StatusOr<std::vector<TopicInfo>> topics = admin.Topics("");
  if (!topics.ok()) return Fail(topics.status(), context);
  if (!flags.json && topics->empty()) context.Say("no topics");
  if (!flags.json) return topics->empty() ? kOk : context.Print(TopicsTable(*topics, Style::For(context.out)));
  std::string text;
  for (const TopicInfo& topic : *topics) text += TopicJson(topic);
  return context.Print(text);
}

ExitCode Describe(const TopicsFlags& flags, Admin& admin, Context& context) {
  const absl::StatusOr<std::vector<TopicInfo>> topics = admin.Topics(flags.topic);
  if (!topics.ok()) return Fail(topics.status(), context);
  if (topics->empty()) {
    const absl::Status known = CheckKnown(admin, flags.topic, "");
    return Fail(known.ok() ? absl::NotFoundError(absl::StrCat("no topic ", flags.topic)) : known, context);
  }
  if (flags.json) return context.Print(TopicJson((*topics)[0]));
  std::string text = TopicPage((*topics)[0]);
  const absl::StatusOr<std::vector<GroupLag>> lags = admin.Lag(flags.topic, "");
  if (lags.ok() && !lags->empty()) {
    absl::StrAppend(&text, "\n", LagTable(*lags, absl::Now(), Style::For(context.out)));
  }
  return context.Print(text);
}

ExitCode Declare(const TopicsFlags& flags, Admin& admin, Context& context) {
  TopicDeclaration declaration{.topic = flags.topic, .groups = flags.groups, .options = flags.options};
  for (const std::string& text : flags.settings) {
    auto setting = NameAndValue("--set", text);
    if (!setting.ok()) {
      (void)Fail(setting.status(), context);
      return kUsage;
    }
    declaration.options.settings[setting->first] = setting->second;
  }
  if (absl::Status declared = admin.Declare(declaration); !declared.ok()) return Fail(declared, context);
  if (flags.json) {
    JsonLine line;
    line.Text("declared", flags.topic).Texts("groups", flags.groups);
    return context.Print(std::move(line).Finish());
  }
  std::string text = absl::StrCat("declared ", flags.topic);
  if (!flags.groups.empty()) {
    absl::StrAppend(&text, " with ", flags.groups.size() == 1 ? "group " : "groups ",
                    absl::StrJoin(flags.groups, ", "));
  }
  return context.Print(text + "\n");
}

ExitCode Remove(const TopicsFlags& flags, Admin& admin, Context& context) {
  if (!flags.yes) {
    context.Say(
        absl::StrCat("topic ", flags.topic,
                     " would be deleted for good, with its groups, retries and dead letters; add --yes to do it"));
    return kUsage;
  }
  // A consumer would make it again, from the beginning.
  const absl::StatusOr<std::vector<GroupLag>> lags = admin.Lag(flags.topic, "");
  if (!lags.ok()) return Fail(lags.status(), context);
  for (const GroupLag& lag : *lags) {
    if (lag.members.value_or(0) == 0) continue;
    return Fail(absl::FailedPreconditionError(
                    absl::StrCat("group ", lag.group, " consumes ", flags.topic, ": stop its consumers first")),
                context);
  }
  if (absl::Status removed = admin.Remove(flags.topic); !removed.ok()) return Fail(removed, context);
  if (!flags.json) return context.Print(absl::StrCat("deleted ", flags.topic, "\n"));
  JsonLine line;
  line.Text("deleted", flags.topic);
  return context.Print(std::move(line).Finish());
}

using Verb = ExitCode (*)(const TopicsFlags&, Admin&, Context&);

// A verb's subcommand, but for its own flags.
std::pair<CLI::App*, std::shared_ptr<TopicsFlags>> AddVerb(CLI::App& topics, const std::string& name,
                                                           const std::string& help, Verb verb, bool named,
                                                           Action& chosen) {
  CLI::App* command = topics.add_subcommand(name, help);
  auto flags = std::make_shared<TopicsFlags>();
  if (named) command->add_option("topic", flags->topic, "Which topic")->required()->type_name("TOPIC");
  AddJson(*command, flags->json);
  AddConnectionFlags(*command, flags->connection);
  command->callback([&chosen, flags, verb, named] {
    if (named && !IsValidTopic(flags->topic)) {
      throw CLI::ValidationError("topic", "\"" + flags->topic + "\" is not [A-Za-z0-9._-]{1,120}");
    }
    chosen = [flags, verb](Context& context) {
      return WithClient(flags->connection, "", context,
                        [&](Client& client) { return verb(*flags, client.broker().admin(), context); });
    };
  });
  return {command, flags};
}

}  // namespace

std::string TopicsTable(const std::vector<TopicInfo>& topics, const Style& style) {
  std::vector<std::vector<std::string>> rows = {{"TOPIC", "PARTITIONS", "MESSAGES", "BYTES", "GROUPS"}};
  for (const TopicInfo& topic : topics) {
    rows.push_back({topic.name, topic.partitions == 0 ? "-" : absl::StrCat(topic.partitions), Figure(topic.messages),
                    Figure(topic.bytes), topic.groups.empty() ? "-" : absl::StrJoin(topic.groups, ", ")});
  }
  return Table(rows, [&](size_t row, size_t, const std::string& cell) { return row == 0 ? style.Bold(cell) : cell; });
}

std::string TopicJson(const TopicInfo& topic) {
  JsonLine line;
  line.Text("topic", topic.name);
  if (topic.partitions > 0) line.Number("partitions", topic.partitions);
  if (topic.messages) line.Number("messages", *topic.messages);
  if (topic.bytes) line.Number("bytes", *topic.bytes);
  line.Texts("groups", topic.groups);
  if (!topic.settings.empty()) {
    std::vector<HeaderView> settings;
    for (const auto& [name, value] : topic.settings) settings.push_back({name, value});
    line.Pairs("settings", settings);
  }
  return std::move(line).Finish();
}

std::string TopicPage(const TopicInfo& topic) {
  constexpr size_t kLine = 1000;
  std::string text;
  const auto add = [&text](std::string_view name, std::string_view value) {
    absl::StrAppend(&text, name, std::string(12 - name.size(), ' '), OneLine(value, kLine), "\n");
  };
  add("topic", topic.name);
  add("partitions", topic.partitions == 0 ? "-" : absl::StrCat(topic.partitions));
  add("messages", Figure(topic.messages));
  add("bytes", Figure(topic.bytes));
  add("groups", topic.groups.empty() ? "-" : absl::StrJoin(topic.groups, ", "));
  for (const auto& [name, value] : topic.settings) add("setting", absl::StrCat(name, "=", value));
  return text;
}

void AddTopicsCommand(CLI::App& app, Action& chosen) {
  CLI::App* topics = app.add_subcommand("topics", "Lists, describes, declares or deletes topics");
  topics->require_subcommand(1);
  AddExamples(*topics, {"topics list", "topics describe orders.created"});
  AddExamples(*AddVerb(*topics, "list", "One line each", List, false, chosen).first,
              {"topics list", "topics list --json"});
  AddExamples(
      *AddVerb(*topics, "describe", "All of one: settings, and what its groups have to do", Describe, true, chosen)
           .first,
      {"topics describe orders.created"});
  const auto [declare, flags] = AddVerb(
      *topics, "declare", "Makes a topic and its groups, or confirms that they are there", Declare, true, chosen);
  AddRepeated(*declare, "--group", flags->groups, "A group, which then gets what is sent from now on")
      ->type_name("GROUP");
  declare->add_option("--partitions", flags->options.partitions, "How many; else the broker's default")
      ->check(CLI::Range(1, 100'000))
      ->type_name("N");
  declare->add_option("--replicas", flags->options.replicas, "How many; else the server's default")
      ->check(CLI::Range(1, 100))
      ->type_name("N");
  AddRepeated(*declare, "--set", flags->settings, "A setting by the broker's own name")->type_name("NAME=VALUE");
  AddExamples(*declare, {"topics declare orders.created --group billing",
                         "topics declare orders.created --partitions 12 --set retention.ms=3600000"});
  const auto [remove, remove_flags] = AddVerb(
      *topics, "delete", "Deletes a topic with all that is in it and all that its groups have", Remove, true, chosen);
  remove->add_flag("--yes", remove_flags->yes, "Do it; without it nothing is deleted");
  AddExamples(*remove, {"topics delete orders.old --yes"});
}

}  // namespace messaging::cli
