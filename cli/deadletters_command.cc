#include "cli/deadletters_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/dead_letter_line.h"
#include "cli/input.h"
#include "cli/json_line.h"
#include "cli/known.h"
#include "cli/pace.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/status_text.h"
#include "cli/style.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/where.h"
#include "messaging/broker/broker.h"

namespace messaging::cli {
namespace {

using Verb = DeadLettersFlags::Verb;

const std::vector<std::string>& WhereNames() {
  static const auto* const names =
      new std::vector<std::string>{"handler", "group", "topic", "code", "attempts", "key", "id", "message_id"};
  return *names;
}

bool Everything(const DeadLettersFlags& flags) {
  const DeadLetterFilter& filter = flags.filter;
  return filter.group.empty() && filter.topic.empty() && filter.handler.empty() && filter.ids.empty() &&
         filter.since == absl::InfinitePast() && flags.where.empty();
}

std::string Count(int64_t n) { return absl::StrCat(Thousands(n), n == 1 ? " dead letter" : " dead letters"); }

// A number as a line: {"replayed":3}, or for people.
ExitCode PrintCount(const DeadLettersFlags& flags, std::string_view done, int64_t count, Context& context) {
  if (!flags.json) return context.Print(absl::StrCat(Count(count), " ", done, "\n"));
  JsonLine line;
  line.Number(done, count);
  return context.Print(std::move(line).Finish());
}

// Calls `visit` for those that the filter and --where choose.
absl::Status ForEach(const DeadLettersFlags& flags, DeadLetters& dead_letters,
                     const std::function<bool(const DeadLetter&)>& visit) {
  absl::StatusOr<Where> where = Where::Parse(flags.where, WhereNames());
  if (!where.ok()) return where.status();
  return dead_letters.List(flags.filter, [&](const DeadLetter& letter) {
    const std::string code = absl::StatusCodeToString(letter.failure.status.code());
    const std::string attempts = absl::StrCat(letter.failure.attempts);
    const Message& message = letter.message;
    const auto look_up = [&](std::string_view name) -> std::optional<std::string_view> {
      if (name == "handler") return letter.failure.handler;
      if (name == "group") return letter.group;
      if (name == "topic") return message.topic;
      if (name == "code") return code;
      if (name == "attempts") return attempts;
      if (name == "key") return message.key ? std::optional<std::string_view>(*message.key) : std::nullopt;
      if (name == "id") return letter.id;
      if (name == "message_id") return message.id;
      if (name == "payload") return message.payload;
      std::optional<std::string_view> value;
      if (!absl::ConsumePrefix(&name, "header.")) return value;
      for (const Header& header : message.headers) {
        if (header.first == name) value = header.second;
      }
      return value;
    };
    return !where->Matches(look_up) || visit(letter);
  });
}

// For when none was found. NotFound when there is no such topic or group; of one that is to be purged none is left, as
// was asked for, and it is only told.
absl::Status Known(const DeadLettersFlags& flags, Broker& broker, Context& context) {
  const absl::Status known = CheckKnown(broker.admin(), flags.filter.topic, flags.filter.group);
  if (known.ok() || flags.verb != Verb::kPurge || !flags.yes) return known;
  context.Say(known.message());
  return absl::OkStatus();
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

std::vector<std::string> Row(const DeadLetter& letter) {
  return {letter.id,
          LocalTime(letter.dead_since),
          letter.group,
          letter.message.topic,
          letter.failure.handler,
          absl::StrCat(letter.failure.attempts),
          Why(letter.failure)};
}

// List, show and export, and what a dry run would do.
ExitCode Print(const DeadLettersFlags& flags, Broker& broker, Context& context) {
  std::vector<std::vector<std::string>> rows = {{"ID", "DEAD SINCE", "GROUP", "TOPIC", "HANDLER", "ATTEMPTS", "WHY"}};
  const bool table = !flags.json && (flags.verb == Verb::kList || flags.dry_run);
  ExitCode printed = kOk;
  int64_t count = 0;
  const absl::Status listed = ForEach(flags, broker.dead_letters(), [&](const DeadLetter& letter) {
    ++count;
    if (table) {
      rows.push_back(Row(letter));
    } else if (flags.verb == Verb::kExport) {
      printed = context.Print(ExportLine(letter));
    } else if (flags.json) {
      printed = context.Print(DeadLetterLine(letter));
    } else {
      printed = context.Print(absl::StrCat(count == 1 ? "" : "\n", Page(letter)));
    }
    return printed == kOk;
  });
  if (!listed.ok()) return Fail(listed, context);
  if (count > 0 && table) {
    const Style style = Style::For(context.out);
    printed = context.Print(
        Table(rows, [&](size_t row, size_t, const std::string& cell) { return row == 0 ? style.Bold(cell) : cell; }));
  }
  if (count == 0) {
    if (absl::Status known = Known(flags, broker, context); !known.ok()) return Fail(known, context);
    context.Say("no dead letters");
  }
  if (count > 0 && flags.verb == Verb::kExport && printed == kOk) context.Say(absl::StrCat(Count(count), " exported"));
  if (count == 0 && !flags.filter.ids.empty()) return kFailed;
  return printed;
}

// Those chosen, by their groups: an id is unique in its group only.
struct Chosen {
  std::map<std::string, std::vector<std::string>> ids;
  int64_t count = 0;
};

absl::StatusOr<Chosen> Choose(const DeadLettersFlags& flags, DeadLetters& dead_letters) {
  Chosen chosen;
  absl::Status listed = ForEach(flags, dead_letters, [&](const DeadLetter& letter) {
    chosen.ids[letter.group].push_back(letter.id);
    return ++chosen.count > 0;
  });
  if (!listed.ok()) return listed;
  return chosen;
}

using Change = std::function<absl::StatusOr<int64_t>(const DeadLetterFilter&)>;

// Changes those chosen some at a time, at the rate asked for; a signal ends it in between.
ExitCode ChangeChosen(const DeadLettersFlags& flags, const Chosen& chosen, std::string_view done, const Change& change,
                      Context& context) {
  // Few calls, as each may search through all; and many enough for an even rate, and a signal to be noticed.
  constexpr double kMost = 400;
  const double a_call = flags.rate > 0 ? std::clamp(flags.rate / 2, 1.0, kMost) : kMost;
  StopSignals signals;
  Progress progress(context.err, chosen.count, absl::Now(), done);
  const Pace pace(flags.rate, signals);
  int64_t asked = 0, count = 0;
  for (const auto& [group, ids] : chosen.ids) {
    for (size_t at = 0; at < ids.size();) {
      if (!pace.Await(asked)) {
        progress.Clear();
        context.Say(absl::StrCat("stopped: ", Count(count), " ", done, ", ", chosen.count - asked, " left"));
        return static_cast<ExitCode>(kSignalled + signals.number());
      }
      const size_t end = std::min(ids.size(), at + static_cast<size_t>(a_call));
      DeadLetterFilter filter{.group = group, .topic = flags.filter.topic};
      filter.ids.assign(ids.begin() + static_cast<ptrdiff_t>(at), ids.begin() + static_cast<ptrdiff_t>(end));
      const absl::StatusOr<int64_t> changed = change(filter);
      if (!changed.ok()) {
        progress.Clear();
        context.Say(absl::StrCat(Text(changed.status()), "; before that ", Count(count), " ", done));
        return kFailed;
      }
      count += *changed;
      asked += static_cast<int64_t>(end - at);
      at = end;
      progress.Update(count, asked, absl::Now());
    }
  }
  progress.Clear();
  return PrintCount(flags, done, count, context);
}

// Replay and purge, which need to be told what, and purge that it is meant.
ExitCode RunChange(const DeadLettersFlags& flags, Broker& broker, Context& context) {
  DeadLetters& dead_letters = broker.dead_letters();
  const bool purge = flags.verb == Verb::kPurge;
  const std::string_view done = purge ? "deleted" : "replayed";
  if (Everything(flags) && !flags.all) {
    context.Say(absl::StrCat("say which dead letters to ", purge ? "purge" : "replay",
                             ": by id, --group, --topic, --handler, --where or --since, or --all"));
    return kUsage;
  }
  if (flags.dry_run) {
    const ExitCode printed = Print(flags, broker, context);
    if (printed == kOk) context.Say("a dry run: nothing was replayed");
    return printed;
  }
  const auto change = [&](const DeadLetterFilter& filter) {
    return purge ? dead_letters.Purge(filter) : dead_letters.Replay(filter);
  };
  if (flags.where.empty() && flags.rate == 0 && (!purge || flags.yes)) {  // The broker knows which.
    const absl::StatusOr<int64_t> changed = change(flags.filter);
    if (!changed.ok()) {
      context.Say(Text(changed.status()));
      return kFailed;
    }
    const absl::Status known = *changed > 0 ? absl::OkStatus() : Known(flags, broker, context);
    if (!known.ok()) return Fail(known, context);
    if (*changed > 0 || flags.filter.ids.empty()) return PrintCount(flags, done, *changed, context);
    context.Say("no dead letter has such an id");
    return kFailed;
  }
  const absl::StatusOr<Chosen> chosen = Choose(flags, dead_letters);
  if (!chosen.ok()) return Fail(chosen.status(), context);
  const absl::Status known = chosen->count > 0 ? absl::OkStatus() : Known(flags, broker, context);
  if (!known.ok()) return Fail(known, context);
  if (purge && !flags.yes) {
    context.Say(absl::StrCat(Count(chosen->count), " would be deleted for good; add --yes to do it"));
    return kUsage;
  }
  return ChangeChosen(flags, *chosen, done, change, context);
}

ExitCode Import(const DeadLettersFlags& flags, DeadLetters& dead_letters, Context& context) {
  StopSignals signals;
  absl::StatusOr<Input> input = OpenInput(flags.file, context.in, signals.fd());
  if (!input.ok()) {
    (void)Fail(input.status(), context);
    return kUsage;
  }
  NdjsonReader reader(input->source);
  Progress progress(context.err, input->total_bytes, absl::Now(), "imported");
  int64_t imported = 0, wrong = 0;
  absl::Status failed;
  while (failed.ok()) {
    absl::StatusOr<std::optional<NdjsonReader::Line>> line = reader.Next();
    failed = line.status();
    if (!failed.ok() || !line->has_value()) break;
    absl::StatusOr<DeadLetter> letter = absl::InvalidArgumentError((*line)->status.message());
    if ((*line)->status.ok()) letter = ReadExportLine((*line)->text);
    if (!letter.ok()) {
      ++wrong;
      progress.Clear();
      context.Say(absl::StrCat(input->name, ": line ", (*line)->number, ": ", Text(letter.status())));
      continue;
    }
    failed = dead_letters.Import(*letter);
    imported += failed.ok() ? 1 : 0;
    progress.Update(imported, reader.bytes_read(), absl::Now());
  }
  progress.Clear();
  const ExitCode printed = PrintCount(flags, "imported", imported, context);
  if (absl::IsCancelled(failed)) return static_cast<ExitCode>(kSignalled + signals.number());
  if (!failed.ok()) return Fail(failed, context);
  return wrong > 0 ? kPartlySent : printed;
}

struct VerbText {
  Verb verb;
  const char* name;
  const char* help;
  std::vector<std::string> examples;
};

const std::vector<VerbText>& Verbs() {
  static const auto* const verbs = new std::vector<VerbText>{
      {Verb::kList, "list", "One line each, oldest first", {"list", "list --topic orders.created --since 1h --json"}},
      {Verb::kShow, "show", "All of each: why, headers, payload", {"show 17", "show --handler ChargePayment"}},
      {Verb::kReplay,
       "replay",
       "Sends them to the handler that failed, and to no other; each is removed when that is accepted",
       {"replay --handler ChargePayment --dry-run", "replay --where payload.order_id=7",
        "replay --where handler=ChargePayment --since 2h --rate 10"}},
      {Verb::kPurge, "purge", "Deletes them for good", {"purge 17 --yes", "purge --handler OldHandler --yes"}},
      {Verb::kExport,
       "export",
       "Writes them as lines of JSON that import reads, to the byte; they stay",
       {"export --group billing >dead.ndjson"}},
      {Verb::kImport,
       "import",
       "Puts in what export wrote, each with its group, handler and reason",
       {"import dead.ndjson", "import - <dead.ndjson"}}};
  return *verbs;
}

void AddChoice(CLI::App& command, DeadLettersFlags& flags) {
  command.add_option("id,--id", flags.filter.ids, "These only: the dead letter's id or its message's")->type_name("ID");
  command.add_option("--group", flags.filter.group, "Of this consumer group only")->type_name("GROUP");
  command.add_option("--topic", flags.filter.topic, "First sent to this topic only")->type_name("TOPIC");
  command.add_option("--handler", flags.filter.handler, "Given up by this handler only")->type_name("NAME");
  AddDuration(command, "--since", flags.since, "Dead for no longer than this only");
  AddRepeated(command, "--where", flags.where,
              "Only those with this handler, group, topic, code, attempts, key, id, message_id, header.NAME or "
              "payload.FIELD (of JSON); != for not")
      ->type_name("NAME=VALUE");
}

ExitCode Run(const DeadLettersFlags& flags, Context& context) {
  if (const absl::Status where = Where::Parse(flags.where, WhereNames()).status(); !where.ok()) {
    (void)Fail(where, context);
    return kUsage;
  }
  return WithClient(flags.connection, "", context, [&](Client& client) {
    DeadLettersFlags chosen = flags;
    if (flags.since != absl::InfiniteDuration()) chosen.filter.since = absl::Now() - flags.since;
    return RunDeadLetters(chosen, client.broker(), context);
  });
}

void AddVerb(CLI::App& command, const VerbText& text, Action& chosen) {
  CLI::App* app = command.add_subcommand(text.name, text.help);
  auto flags = std::make_shared<DeadLettersFlags>();
  const Verb verb = flags->verb = text.verb;
  const bool changes = verb == Verb::kReplay || verb == Verb::kPurge;
  if (verb == Verb::kImport) {
    app->add_option("file", flags->file, "Lines that export wrote; - for standard input")
        ->required()
        ->type_name("FILE");
  } else {
    AddChoice(*app, *flags);
  }
  if (changes) app->add_flag("--all", flags->all, "All there are");
  if (verb == Verb::kPurge) app->add_flag("--yes", flags->yes, "Delete them; without it they are only counted");
  if (verb == Verb::kReplay) {
    app->add_option("--rate", flags->rate, "So many a second at most; 0: no limit")
        ->check(CLI::Range(0.0, 1e6))
        ->type_name("N")
        ->capture_default_str();
    app->add_flag("--dry-run", flags->dry_run, "Only show which");
  }
  if (verb != Verb::kExport) AddJson(*app, flags->json);
  AddConnectionFlags(*app, flags->connection);
  std::vector<std::string> examples;
  for (const std::string& example : text.examples) examples.push_back("deadletters " + example);
  AddExamples(*app, examples);
  app->callback([&chosen, flags] { chosen = [flags](Context& context) { return Run(*flags, context); }; });
}

}  // namespace

ExitCode RunDeadLetters(const DeadLettersFlags& flags, Broker& broker, Context& context) {
  switch (flags.verb) {
    case Verb::kList:
    case Verb::kShow:
    case Verb::kExport:
      return Print(flags, broker, context);
    case Verb::kReplay:
    case Verb::kPurge:
      return RunChange(flags, broker, context);
    case Verb::kImport:
      return Import(flags, broker.dead_letters(), context);
  }
  return kUsage;
}

void AddDeadLettersCommand(CLI::App& app, Action& chosen) {
  CLI::App* command =
      app.add_subcommand("deadletters", "Shows, replays, exports or deletes messages that were given up");
  command->require_subcommand(1);
  AddExamples(*command, {"deadletters list", "deadletters replay --handler ChargePayment"});
  for (const VerbText& verb : Verbs()) AddVerb(*command, verb, chosen);
}

}  // namespace messaging::cli
