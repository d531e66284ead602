#include "cli/consumer_command.h"

#include <poll.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/event.h"
#include "cli/printer.h"
#include "cli/signals.h"
#include "cli/status_text.h"
#include "messaging/broker/broker.h"
#include "messaging/messaging.h"
#include "metrics/http.h"

namespace messaging::cli {
namespace {

ConsumerOptions Options(const ConsumerFlags& flags) {
  ConsumerOptions options;
  options.topics = flags.topics;
  options.start_at = flags.from == "now" ? StartAt::kNow : StartAt::kBeginning;
  options.concurrency = flags.concurrency;
  options.drain_timeout = flags.drain_timeout;
  return options;
}

// Several lines where a status has them: one a handler that is wrong.
ExitCode Refuse(const absl::Status& status, Context& context) {
  for (std::string_view line : absl::StrSplit(status.message(), '\n')) context.Say(line);
  return ExitCodeFor(status);
}

// Broker, group, and who handles what.
void Announce(const ConsumerFlags& flags, Client& client, Context& context) {
  Broker& broker = client.broker();
  context.Say(absl::StrCat("broker ", broker.name(), ", ", client.url(), ", group ", client.group()));
  for (const std::string& warning : broker.Warnings()) context.Say(absl::StrCat("warning: ", warning));
  std::map<std::string, std::vector<std::string>> by_topic;
  for (const Handler& handler : client.handlers()) {
    const std::string& group = handler.options.group;
    for (const std::string& topic : handler.options.topics) {
      by_topic[topic].push_back(group.empty() ? handler.name : absl::StrCat(handler.name, " (group ", group, ")"));
    }
  }
  for (const auto& [topic, handlers] : by_topic) {
    const bool chosen = flags.topics.empty() || std::count(flags.topics.begin(), flags.topics.end(), topic) > 0;
    if (chosen) context.Say(absl::StrCat(topic, ": ", absl::StrJoin(handlers, ", ")));
  }
}

void AnnounceStart(Client& client, Context& context) {
  const absl::StatusOr<int64_t> backlog = client.Backlog();
  std::string line = "consuming";
  if (backlog.ok())
    absl::StrAppend(&line, "; ", *backlog, *backlog == 1 ? " old message" : " old messages", " to come");
  context.Say(line);
}

// Until a signal, until `ended`, or, when `watched` is not null, until nobody can read that output any more.
void Await(const StopSignals& signals, const Event& ended, const Output* watched) {
  pollfd fds[] = {{.fd = signals.fd(), .events = POLLIN},
                  {.fd = ended.fd(), .events = POLLIN},
                  {.fd = watched != nullptr ? watched->fd() : -1, .events = 0}};
  while (poll(fds, 3, -1) < 0 && errno == EINTR) {
  }
}

// Health and metrics, from before the start: a probe learns that, too. Null where nobody asked for it.
absl::StatusOr<std::unique_ptr<metrics::HttpServer>> Serve(const ConsumerFlags& flags, Client& client,
                                                           Context& context) {
  if (flags.http.empty()) return nullptr;
  auto observer = std::make_shared<metrics::PrometheusObserver>();
  client.Observe(observer);
  auto server =
      metrics::HttpServer::Start({.address = flags.http, .stuck_after = flags.stuck_after}, client, *observer);
  if (server.ok()) context.Say(absl::StrCat("health and metrics: http://", (*server)->address()));
  return server;
}

// A started consumer, from here to its end.
ExitCode Consume(const ConsumerFlags& flags, Client& client, const StopSignals& signals, Event& ended, bool prints,
                 Context& context) {
  absl::Status failure;
  std::thread waiter([&client, &failure, &ended] {
    failure = client.Wait();
    ended.Post();
  });
  Await(signals, ended, prints ? &context.out : nullptr);
  if (signals.number() != 0) {
    context.Say(absl::StrCat("stopping: up to ", absl::FormatDuration(flags.drain_timeout), " for ", client.in_flight(),
                             " messages in hand; a second signal ends at once"));
  }
  const absl::Status stopped = client.Stop();
  waiter.join();
  if (!failure.ok()) context.Say(Text(failure));
  if (!stopped.ok()) context.Say(Text(stopped));
  if (absl::IsDeadlineExceeded(stopped)) return kDrainTimeout;
  if (!failure.ok() || !stopped.ok()) return kFailed;
  if (signals.number() != 0 && context.out.status().ok()) {
    context.Say("stopped");
    return kOk;
  }
  context.Say(context.out.status().ok() ? "standard output: was closed" : context.out.status().message());
  return kOutputGone;
}

ExitCode Run(const ConsumerFlags& flags, Context& context) {
  const absl::StatusOr<Client*> opened = OpenClient(flags.connection, flags.group);
  if (!opened.ok()) return Refuse(opened.status(), context);
  Client& client = **opened;
  const bool prints = client.handlers().empty();
  if (prints && flags.topics.empty()) {
    context.Say("no handlers are linked into this program; name topics with --topic to print their messages");
    return kConfiguration;
  }
  auto ended = std::make_shared<Event>();
  if (prints) {
    client.AddHandler(MakePrinter(flags.topics, context.out,
                                  {.gone = [ended] { ended->Post(); }, .draining = [&] { return client.draining(); }}));
  }
  StopSignals signals;
  Announce(flags, client, context);
  const absl::StatusOr<std::unique_ptr<metrics::HttpServer>> server = Serve(flags, client, context);
  if (!server.ok()) return Refuse(server.status(), context);
  if (absl::Status started = client.Start(Options(flags)); !started.ok()) return Refuse(started, context);
  AnnounceStart(client, context);
  return Consume(flags, client, signals, *ended, prints, context);
}

}  // namespace

void AddConsumerCommand(CLI::App& app, Action& chosen) {
  CLI::App* command =
      app.add_subcommand("consumer", "Runs the handlers; without any, prints messages as lines of JSON");
  auto flags = std::make_shared<ConsumerFlags>();
  command->add_option("--topic", flags->topics, "Only this topic; may be repeated. Else all that have handlers")
      ->type_name("TOPIC")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--group", flags->group, "Consumer group; else MESSAGING_GROUP or the program's name")
      ->type_name("GROUP");
  command->add_option("--from", flags->from, "Where a new group starts: beginning or now")
      ->check(CLI::IsMember({"beginning", "now"}))
      ->type_name("PLACE")
      ->capture_default_str();
  command->add_option("--concurrency", flags->concurrency, "Handlers that run at once")
      ->check(CLI::Range(1, 4096))
      ->type_name("N")
      ->capture_default_str();
  AddDuration(*command, "--drain-timeout", flags->drain_timeout, "How long handlers may take to finish when stopping");
  command->add_option("--http", flags->http, "Serve /metrics, /live, /ready and /status there, as 127.0.0.1:8080")
      ->type_name("HOST:PORT");
  AddDuration(*command, "--stuck-after", flags->stuck_after, "A call that runs for longer turns /live red");
  AddConnectionFlags(*command, flags->connection);
  command->callback([&chosen, flags] { chosen = [flags](Context& context) { return Run(*flags, context); }; });
}

}  // namespace messaging::cli
