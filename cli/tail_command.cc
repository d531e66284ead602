#include "cli/tail_command.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/json_line.h"
#include "cli/known.h"
#include "cli/signals.h"
#include "cli/text.h"
#include "cli/where.h"
#include "messaging/broker/broker.h"
#include "messaging/message.h"

namespace messaging::cli {
namespace {

constexpr size_t kPayload = 500;  // Characters of it that a person is shown.

// Received loads what a driver reads lazily; there is nobody else who looks at the record.
Received View(const Record& record) {
  return Received(const_cast<Record*>(&record), "", "", 1, 1, absl::InfiniteFuture());
}

Where::Lookup LookUp(const Received& received) {
  return [&received](std::string_view name) -> std::optional<std::string_view> {
    if (name == "key") return received.key();
    if (name == "id") return received.id();
    if (name == "content_type") return received.content_type();
    if (name == "payload") return received.payload();
    if (absl::ConsumePrefix(&name, "header.")) return received.header(name);
    return std::nullopt;
  };
}

// For a topic of which nothing comes: says so once, after a while, when it is not there (yet).
class Silence {
 public:
  Silence(const TailOptions& options, Admin& admin, Context& context)
      : options_(options), admin_(admin), context_(context) {}
  void End() { asked_ = true; }
  void Look() {
    if (asked_ || absl::Now() < ask_at_) return;
    asked_ = true;
    const absl::Status known = CheckKnown(admin_, options_.topic, "");
    if (!known.ok()) context_.Say(absl::StrCat(known.message(), " (waiting for it)"));
  }

 private:
  const TailOptions& options_;
  Admin& admin_;
  Context& context_;
  const absl::Time ask_at_ = absl::Now() + absl::Seconds(1);
  bool asked_ = !options_.follow;
};

}  // namespace

std::string MessageText(const Received& received, const Style& style) {
  std::string about;
  if (received.timestamp() != absl::InfinitePast()) about = LocalTime(received.timestamp());
  if (received.partition() >= 0) absl::StrAppend(&about, "  partition ", received.partition());
  if (received.key()) absl::StrAppend(&about, "  key ", OneLine(*received.key()));
  for (const HeaderView& header : received.headers()) {
    absl::StrAppend(&about, "  ", OneLine(header.name), "=", OneLine(header.value));
  }
  const std::string payload = received.null_payload() ? "(no payload)" : OneLine(received.payload(), kPayload);
  return absl::StrCat(style.Dim(absl::StripLeadingAsciiWhitespace(about)), "  ", payload, "\n");
}

ExitCode RunTail(const TailFlags& flags, Admin& admin, Context& context) {
  const absl::StatusOr<Where> where = Where::Parse(flags.where, {"key", "id", "content_type"});
  if (!where.ok()) {
    (void)Fail(where.status(), context);
    return kUsage;
  }
  TailOptions options = flags.options;
  if (flags.since != absl::InfiniteDuration()) options.since = absl::Now() - flags.since;
  const Style style = Style::For(context.out);
  StopSignals signals;
  Silence silence(options, admin, context);
  ExitCode printed = kOk;
  int64_t shown = 0;
  const absl::Status tailed = admin.Tail(
      options,
      [&](const Record& record) {
        silence.End();
        const Received received = View(record);
        if (!where->Matches(LookUp(received))) return true;
        printed = context.Print(flags.json ? MessageLine(received) : MessageText(received, style));
        return printed == kOk && (flags.max_messages == 0 || ++shown < flags.max_messages);
      },
      [&] {
        if (context.out.is_closed() && printed == kOk) {
          context.Say("standard output: was closed");
          printed = kOutputGone;
        }
        silence.Look();
        return signals.number() != 0 || printed != kOk;
      });
  if (absl::IsNotFound(tailed)) {
    const absl::Status known = CheckKnown(admin, options.topic, "");
    return Fail(known.ok() ? tailed : known, context);
  }
  return tailed.ok() ? printed : Fail(tailed, context);
}

void AddTailCommand(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand("tail", "Shows a topic's messages as they are sent; touches no group");
  auto flags = std::make_shared<TailFlags>();
  auto ends = std::make_shared<bool>(false);
  command->add_option("topic", flags->options.topic, "Which topic")->required()->type_name("TOPIC");
  CLI::Option* last = command->add_option("--last", flags->options.last, "First the last N that the broker still has");
  last->type_name("N")->check(CLI::Range(0, 1'000'000'000));
  AddDuration(*command, "--since", flags->since, "First what was sent no longer ago than this");
  command->add_flag("--no-follow", *ends, "End with what is there");
  command->add_option("--max-messages", flags->max_messages, "End when so many were shown; 0: never")
      ->check(CLI::Range(0, 1'000'000'000))
      ->type_name("N")
      ->capture_default_str();
  AddRepeated(*command, "--where", flags->where,
              "Only those with this key, id, content_type, header.NAME or payload.FIELD (of JSON); != for not")
      ->type_name("NAME=VALUE");
  AddJson(*command, flags->json);
  AddConnectionFlags(*command, flags->connection);
  AddExamples(*command, {"tail orders.created", "tail orders.created --last 10 --no-follow",
                         "tail orders.created --since 1h --where payload.order_id=7 --json"});
  command->callback([&chosen, flags, ends] {
    if (!IsValidTopic(flags->options.topic)) {
      throw CLI::ValidationError("topic", "\"" + flags->options.topic + "\" is not [A-Za-z0-9._-]{1,120}");
    }
    flags->options.follow = !*ends;
    chosen = [flags](Context& context) {
      return WithClient(flags->connection, "", context,
                        [&](Client& client) { return RunTail(*flags, client.broker().admin(), context); });
    };
  });
}

}  // namespace messaging::cli
