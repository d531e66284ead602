#include "cli/deadletters_command.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/json_line.h"
#include "cli/status_text.h"
#include "cli/table.h"
#include "cli/text.h"
#include "messaging/broker/broker.h"

namespace messaging::cli {
namespace {

using Verb = DeadLettersFlags::Verb;

std::string LocalTime(absl::Time time) { return absl::FormatTime("%Y-%m-%d %H:%M:%S", time, absl::LocalTimeZone()); }

std::string Why(const Failure& failure) { return failure.status.ToString(absl::StatusToStringMode::kWithNoExtraData); }

bool Everything(const DeadLetterFilter& filter) {
  return filter.group.empty() && filter.topic.empty() && filter.handler.empty() && filter.ids.empty() &&
         filter.since == absl::InfinitePast();
}

std::string Count(int64_t n) { return absl::StrCat(n, n == 1 ? " dead letter" : " dead letters"); }

std::string Json(const DeadLetter& letter) {
  const Message& message = letter.message;
  std::vector<HeaderView> headers;
  for (const Header& header : message.headers) headers.push_back({header.first, header.second});
  JsonLine line;
  line.Text("id", letter.id).Text("group", letter.group).Text("handler", letter.failure.handler);
  line.Number("attempts", letter.failure.attempts).Text("reason", Why(letter.failure));
  line.Time("first_failure", letter.failure.first).Time("last_failure", letter.failure.last);
  line.Time("dead_since", letter.dead_since).Text("topic", message.topic);
  if (message.key) line.Text("key", *message.key);
  line.Text("message_id", message.id).Headers(headers).Time("timestamp", message.timestamp);
  if (!message.content_type.empty()) line.Text("content_type", message.content_type);
  if (message.null_payload) {
    line.Bool("null_payload", true);
  } else {
    line.Payload(message.payload);
  }
  return std::move(line).Finish();
}

std::string Page(const DeadLetter& letter) {
  constexpr size_t kLine = 1000;
  const Message& message = letter.message;
  const Failure& failure = letter.failure;
  std::string text = absl::StrCat("dead letter   ", letter.id, "\n");
  const auto add = [&text](std::string_view name, std::string_view value) {
    absl::StrAppend(&text, name, std::string(14 - name.size(), ' '), OneLine(value, kLine), "\n");
  };
  add("group", letter.group);
  add("handler", failure.handler);
  add("why", Why(failure));
  add("attempts", absl::StrCat(failure.attempts));
  if (failure.first != absl::InfinitePast()) add("first failure", LocalTime(failure.first));
  if (failure.last != absl::InfinitePast()) add("last failure", LocalTime(failure.last));
  add("dead since", LocalTime(letter.dead_since));
  add("topic", message.topic);
  if (message.key) add("key", *message.key);
  add("message id", message.id);
  for (const Header& header : message.headers) add("header", absl::StrCat(header.first, "=", header.second));
  if (message.timestamp != absl::InfinitePast()) add("sent", LocalTime(message.timestamp));
  add("content type", message.content_type);
  add("payload", message.null_payload ? "(none)" : message.payload);
  return text;
}

// List and show.
ExitCode Print(const DeadLettersFlags& flags, DeadLetters& dead_letters, Context& context) {
  std::vector<std::vector<std::string>> rows = {{"ID", "DEAD SINCE", "GROUP", "TOPIC", "HANDLER", "ATTEMPTS", "WHY"}};
  ExitCode printed = kOk;
  int64_t count = 0;
  const absl::Status listed = dead_letters.List(flags.filter, [&](const DeadLetter& letter) {
    ++count;
    if (flags.json) {
      printed = context.Print(Json(letter));
    } else if (flags.verb == Verb::kShow) {
      printed = context.Print(absl::StrCat(count == 1 ? "" : "\n", Page(letter)));
    } else {
      rows.push_back({letter.id, LocalTime(letter.dead_since), letter.group, letter.message.topic,
                      letter.failure.handler, absl::StrCat(letter.failure.attempts), Why(letter.failure)});
    }
    return printed == kOk;
  });
  if (!listed.ok()) {
    context.Say(Text(listed));
    return kFailed;
  }
  if (count > 0 && flags.verb == Verb::kList && !flags.json) printed = context.Print(Table(rows));
  if (count == 0) context.Say("no dead letters");
  if (count == 0 && !flags.filter.ids.empty()) return kFailed;
  return printed;
}

// Replay and purge, which need to be told what, and purge that it is meant.
ExitCode Change(const DeadLettersFlags& flags, DeadLetters& dead_letters, Context& context) {
  const bool purge = flags.verb == Verb::kPurge;
  if (Everything(flags.filter) && !flags.all) {
    context.Say(absl::StrCat("say which dead letters to ", purge ? "purge" : "replay",
                             ": by id, --group, --topic, --handler or --since, or --all"));
    return kUsage;
  }
  if (purge && !flags.yes) {
    int64_t count = 0;
    const absl::Status listed = dead_letters.List(flags.filter, [&count](const DeadLetter&) { return ++count > 0; });
    context.Say(listed.ok() ? absl::StrCat(Count(count), " would be deleted for good; add --yes to do it")
                            : Text(listed));
    return listed.ok() ? kUsage : kFailed;
  }
  const absl::StatusOr<int64_t> changed = purge ? dead_letters.Purge(flags.filter) : dead_letters.Replay(flags.filter);
  if (!changed.ok()) {
    context.Say(Text(changed.status()));
    return kFailed;
  }
  if (*changed == 0 && !flags.filter.ids.empty()) {
    context.Say("no dead letter has such an id");
    return kFailed;
  }
  return context.Print(absl::StrCat(Count(*changed), purge ? " deleted\n" : " replayed\n"));
}

void AddVerb(CLI::App& command, const std::string& name, Verb verb, const std::string& help, Action& chosen) {
  CLI::App* app = command.add_subcommand(name, help);
  auto flags = std::make_shared<DeadLettersFlags>();
  flags->verb = verb;
  AddConnectionFlags(*app, flags->connection);
  app->add_option("id,--id", flags->filter.ids, "These only: the dead letter's id or its message's")->type_name("ID");
  app->add_option("--group", flags->filter.group, "Of this consumer group only")->type_name("GROUP");
  app->add_option("--topic", flags->filter.topic, "First sent to this topic only")->type_name("TOPIC");
  app->add_option("--handler", flags->filter.handler, "Given up by this handler only")->type_name("NAME");
  AddDuration(*app, "--since", flags->since, "Dead for no longer than this only");
  if (verb == Verb::kList || verb == Verb::kShow) {
    app->add_flag("--json", flags->json, "One JSON object a line");
  } else {
    app->add_flag("--all", flags->all, "All there are");
  }
  if (verb == Verb::kPurge) app->add_flag("--yes", flags->yes, "Delete them; without it they are only counted");
  app->callback([&chosen, flags] {
    chosen = [flags](Context& context) -> ExitCode {
      const absl::StatusOr<Client*> client = OpenClient(flags->connection);
      if (!client.ok()) {
        context.Say(Text(client.status()));
        return ExitCodeFor(client.status());
      }
      if (flags->since != absl::InfiniteDuration()) flags->filter.since = absl::Now() - flags->since;
      return RunDeadLetters(*flags, (*client)->broker().dead_letters(), context);
    };
  });
}

}  // namespace

ExitCode RunDeadLetters(const DeadLettersFlags& flags, DeadLetters& dead_letters, Context& context) {
  const bool reads = flags.verb == Verb::kList || flags.verb == Verb::kShow;
  return reads ? Print(flags, dead_letters, context) : Change(flags, dead_letters, context);
}

void AddDeadLettersCommand(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand("deadletters", "Shows, replays or deletes messages that could not be handled");
  command->require_subcommand(1);
  AddVerb(*command, "list", Verb::kList, "One line each, oldest first", chosen);
  AddVerb(*command, "show", Verb::kShow, "All of each: why, headers, payload", chosen);
  AddVerb(*command, "replay", Verb::kReplay, "Sends them to the handler that failed, and to no other", chosen);
  AddVerb(*command, "purge", Verb::kPurge, "Deletes them for good", chosen);
}

}  // namespace messaging::cli
