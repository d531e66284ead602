#include "cli/lag_command.h"

#include <poll.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/json_line.h"
#include "cli/known.h"
#include "cli/signals.h"
#include "cli/table.h"
#include "messaging/broker/broker.h"

namespace messaging::cli {
namespace {

constexpr std::string_view kClearScreen = "\x1b[H\x1b[J";

std::string Figure(const std::optional<int64_t>& number) { return number ? absl::StrCat(*number) : "?"; }

void Number(JsonLine& line, std::string_view name, const std::optional<int64_t>& number) {
  if (number) line.Number(name, *number);
}

enum Column { kTopic, kGroup, kPartition, kWaiting, kInFlight, kRetrying, kNextRetry, kDead, kOldest, kMembers, kNote };

// What a person is to see first: nobody there for what waits, dead letters, retries.
std::string PaintCell(const Style& style, const GroupLag& lag, size_t column, const std::string& cell) {
  const bool stuck = lag.members == 0 && lag.waiting.value_or(0) > 0;
  if ((column == kMembers || column == kWaiting) && stuck) return style.Red(cell);
  if (column == kDead && lag.dead.value_or(0) > 0) return style.Red(cell);
  if (column == kRetrying && lag.retrying.value_or(0) > 0) return style.Yellow(cell);
  return cell;
}

// Why there is nothing to show. NotFound: there is no such topic or group.
absl::StatusOr<std::string> WhyEmpty(const LagFlags& flags, Admin& admin) {
  if (absl::Status known = CheckKnown(admin, flags.topic, flags.group); !known.ok()) return known;
  const std::string topic = flags.topic.empty() ? "" : absl::StrCat("topic ", flags.topic);
  if (flags.group.empty()) return absl::StrCat("no group consumes ", topic.empty() ? "a topic" : topic);
  return absl::StrCat("group ", flags.group, topic.empty() ? " consumes no topic" : " does not consume " + topic);
}

// Looks once.
ExitCode Show(const LagFlags& flags, Admin& admin, const Style& style, Context& context) {
  const absl::StatusOr<std::vector<GroupLag>> lags = admin.Lag(flags.topic, flags.group);
  if (!lags.ok()) return Fail(lags.status(), context);
  const absl::StatusOr<std::string> empty = lags->empty() ? WhyEmpty(flags, admin) : "";
  if (!empty.ok()) return Fail(empty.status(), context);
  const absl::Time now = absl::Now();
  if (!flags.watch && !empty->empty()) context.Say(*empty);
  if (flags.json) return context.Print(LagJson(*lags, now));
  if (!flags.watch) return lags->empty() ? kOk : context.Print(LagTable(*lags, now, style));
  const std::string heading = absl::StrCat(style.Bold(LocalTime(now)), "\n");
  const std::string table = lags->empty() ? *empty + "\n" : LagTable(*lags, now, style);
  return context.Print(absl::StrCat(context.out.is_terminal() ? kClearScreen : "", heading, table));
}

}  // namespace

std::string LagTable(const std::vector<GroupLag>& lags, absl::Time now, const Style& style) {
  std::vector<std::vector<std::string>> rows = {{"TOPIC", "GROUP", "PARTITION", "WAITING", "IN FLIGHT", "RETRYING",
                                                 "NEXT RETRY", "DEAD", "OLDEST", "MEMBERS", "NOTE"}};
  for (const GroupLag& lag : lags) {
    rows.push_back({lag.topic, lag.group, lag.partition < 0 ? "-" : absl::StrCat(lag.partition), Figure(lag.waiting),
                    Figure(lag.in_flight), Figure(lag.retrying),
                    lag.next_retry ? ShortDuration(*lag.next_retry - now) : "-", Figure(lag.dead),
                    lag.oldest ? ShortDuration(now - *lag.oldest) : "-", lag.members ? absl::StrCat(*lag.members) : "?",
                    lag.note});
  }
  return Table(rows, [&](size_t row, size_t column, const std::string& cell) {
    return row == 0 ? style.Bold(cell) : PaintCell(style, lags[row - 1], column, cell);
  });
}

std::string LagJson(const std::vector<GroupLag>& lags, absl::Time now) {
  std::string text;
  for (const GroupLag& lag : lags) {
    JsonLine line;
    line.Time("time", now).Text("topic", lag.topic).Text("group", lag.group);
    if (lag.partition >= 0) line.Number("partition", lag.partition);
    Number(line, "waiting", lag.waiting);
    Number(line, "in_flight", lag.in_flight);
    Number(line, "retrying", lag.retrying);
    if (lag.next_retry) line.Time("next_retry", *lag.next_retry);
    Number(line, "dead", lag.dead);
    if (lag.oldest) line.Time("oldest", *lag.oldest);
    if (lag.members) line.Number("members", *lag.members);
    if (!lag.note.empty()) line.Text("note", lag.note);
    text += std::move(line).Finish();
  }
  return text;
}

ExitCode RunLag(const LagFlags& flags, Admin& admin, Context& context) {
  const Style style = Style::For(context.out);
  if (!flags.watch) return Show(flags, admin, style, context);
  StopSignals signals;
  while (true) {
    if (const ExitCode code = Show(flags, admin, style, context); code != kOk) return code;
    pollfd fds[] = {{.fd = signals.fd(), .events = POLLIN}, {.fd = context.out.fd(), .events = 0}};
    const int ready = poll(fds, 2, static_cast<int>(absl::ToInt64Milliseconds(flags.interval)));
    if (signals.number() != 0) return kOk;
    if (ready > 0 && fds[1].revents != 0) {
      context.Say("standard output: was closed");
      return kOutputGone;
    }
  }
}

void AddLagCommand(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand("lag", "Shows what each group has still to do, by topic and partition");
  auto flags = std::make_shared<LagFlags>();
  command->add_option("--topic", flags->topic, "Of this topic only")->type_name("TOPIC");
  command->add_option("--group", flags->group, "Of this consumer group only")->type_name("GROUP");
  command->add_flag("--watch", flags->watch, "Again and again, until Ctrl-C");
  AddDuration(*command, "--interval", flags->interval, "How often --watch looks");
  AddJson(*command, flags->json);
  AddConnectionFlags(*command, flags->connection);
  AddExamples(*command, {"lag", "lag --watch --group billing", "lag --topic orders.created --json"});
  command->callback([&chosen, flags] {
    if (flags->interval < absl::Milliseconds(1)) throw CLI::ValidationError("--interval", "is 1ms at least");
    flags->interval = std::min(flags->interval, absl::Hours(24));
    chosen = [flags](Context& context) {
      return WithClient(flags->connection, "", context,
                        [&](Client& client) { return RunLag(*flags, client.broker().admin(), context); });
    };
  });
}

}  // namespace messaging::cli
