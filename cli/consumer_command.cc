#include "cli/consumer_command.h"

#include <poll.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/event.h"
#include "cli/exec_handler.h"
#include "cli/limits.h"
#include "cli/log_format.h"
#include "cli/pause_signals.h"
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

// What waits now: some may be in hand, or on their way here, so that "none" would be no news.
void AnnounceStart(Client& client, Context& context) {
  const int64_t waiting = client.Backlog().value_or(0);
  std::string line = "consuming";
  if (waiting > 0) absl::StrAppend(&line, "; ", waiting, waiting == 1 ? " message waits" : " messages wait");
  context.Say(line);
}

// Until a signal, until `ended`, until nothing has come for `idle_exit`, or, when `watched` is not null, until nobody
// can read that output any more. Whether nothing came. Calls `pause` for the signals that are no end.
bool Await(const StopSignals& signals, PauseSignals& pauses, const std::function<void(bool)>& pause, const Event& ended,
           const Output* watched, absl::Duration idle_exit, const Limits& limits, const Client& client) {
  pollfd fds[] = {{.fd = pauses.fd(), .events = POLLIN},
                  {.fd = signals.fd(), .events = POLLIN},
                  {.fd = ended.fd(), .events = POLLIN},
                  {.fd = watched != nullptr ? watched->fd() : -1, .events = 0}};
  while (true) {
    int wait = -1;
    if (idle_exit != absl::InfiniteDuration()) {
      absl::Duration left = limits.last_activity() + idle_exit - absl::Now();
      if (left <= absl::ZeroDuration() && client.in_flight() == 0) return true;
      left = std::clamp(left, absl::Milliseconds(20), absl::Hours(1));
      wait = static_cast<int>(absl::ToInt64Milliseconds(left));
    }
    const int ready = poll(fds, 4, wait);
    if (ready < 0 && errno != EINTR) return false;
    if (ready <= 0) continue;
    if (fds[1].revents != 0 || fds[2].revents != 0 || fds[3].revents != 0) return false;
    if (const std::optional<bool> wanted = pauses.Take()) pause(*wanted);
  }
}

// Not a flag: everybody on the machine may read those.
std::string Token() {
  const char* const token = std::getenv("MESSAGING_HTTP_TOKEN");
  return token == nullptr ? "" : token;
}

// Health and metrics, from before the start: a probe learns that, too. Null where nobody asked for it.
absl::StatusOr<std::unique_ptr<metrics::HttpServer>> Serve(const ConsumerFlags& flags, Client& client,
                                                           Context& context) {
  if (flags.http.empty()) return nullptr;
  auto observer = std::make_shared<metrics::PrometheusObserver>();
  client.Observe(observer);
  auto server = metrics::HttpServer::Start({.address = flags.http, .token = Token(), .stuck_after = flags.stuck_after},
                                           client, *observer);
  if (server.ok()) context.Say(absl::StrCat("health and metrics: http://", (*server)->address()));
  return server;
}

// What becomes of a running consumer.
struct Run {
  const ConsumerFlags& flags;
  const std::shared_ptr<Event> ended = std::make_shared<Event>();
  const std::shared_ptr<Limits> limits =
      std::make_shared<Limits>(flags.max_messages, [ended = ended] { ended->Post(); });
  bool prints = false;
};

// A started consumer, from here to its end.
ExitCode Consume(Run& run, Client& client, const StopSignals& signals, PauseSignals& pauses, Context& context) {
  absl::Status failure;
  std::thread waiter([&client, &failure, &run] {
    failure = client.Wait();
    run.ended->Post();
  });
  run.limits->Touch(absl::Now());
  const auto pause = [&client, &context](bool wanted) {
    const absl::Status done = wanted ? client.Pause() : client.Resume();
    context.Say(!done.ok() ? done.message() : wanted ? "paused; SIGUSR2 lets it go on" : "goes on");
  };
  const bool idle = Await(signals, pauses, pause, *run.ended, run.prints ? &context.out : nullptr, run.flags.idle_exit,
                          *run.limits, client);
  const bool asked = signals.number() != 0;
  const bool gone = run.prints && context.out.is_closed();
  if (asked) {
    context.Say(absl::StrCat("stopping: up to ", absl::FormatDuration(run.flags.drain_timeout), " for ",
                             client.in_flight(), " messages in hand; a second signal ends at once"));
  }
  const absl::Status stopped = client.Stop();
  waiter.join();
  if (!failure.ok()) context.Say(Text(failure));
  if (!stopped.ok()) context.Say(Text(stopped));
  if (absl::IsDeadlineExceeded(stopped)) return kDrainTimeout;
  if (!failure.ok() || !stopped.ok()) return kFailed;
  if (!context.out.status().ok() || (gone && !asked && !run.limits->reached())) {
    context.Say(context.out.status().ok() ? "standard output: was closed" : context.out.status().message());
    return kOutputGone;
  }
  if (run.limits->reached()) {
    context.Say(absl::StrCat("stopped after ", run.limits->done(), run.limits->done() == 1 ? " message" : " messages"));
  } else {
    context.Say(idle ? "stopped: nothing came any more" : "stopped");
  }
  return kOk;
}

// What handles messages when the program has no handlers.
absl::Status AddHandler(Run& run, Client& client, Context& context) {
  const ConsumerFlags& flags = run.flags;
  const auto draining = [&client] { return client.draining(); };
  if (!flags.exec) {
    run.prints = true;
    client.AddHandler(
        MakePrinter(flags.topics, context.out,
                    {.gone = [ended = run.ended] { ended->Post(); }, .draining = draining, .limits = run.limits}));
    return absl::OkStatus();
  }
  absl::StatusOr<Handler> exec = MakeExecHandler({.topics = flags.topics,
                                                  .command = context.behind_exec,
                                                  .timeout = flags.exec_timeout,
                                                  .max_retries = flags.max_retries,
                                                  .retry_delay = flags.retry_delay,
                                                  .limits = run.limits,
                                                  .draining = draining},
                                                 context.err);
  if (!exec.ok()) return exec.status();
  client.AddHandler(*std::move(exec));
  return absl::OkStatus();
}

ExitCode RunConsumer(const ConsumerFlags& flags, Client& client, Context& context) {
  SetLogFormat(flags.log_format == "json" ? LogFormat::kJson : LogFormat::kText);
  const bool has_handlers = !client.handlers().empty();
  if (has_handlers && flags.exec) {
    context.Say("this program has handlers of its own: --exec is for one without");
    return kConfiguration;
  }
  if (!has_handlers && flags.topics.empty()) {
    context.Say(
        "no handlers are linked into this program; name topics with --topic to print their messages, or to run a "
        "command for each with --exec");
    return kConfiguration;
  }
  Run run{.flags = flags};
  if (has_handlers) {
    run.limits->CountHandled();
  } else if (absl::Status added = AddHandler(run, client, context); !added.ok()) {
    return Fail(added, context);
  }
  if (flags.max_messages > 0 || flags.idle_exit != absl::InfiniteDuration()) client.Observe(run.limits);
  StopSignals signals;
  PauseSignals pauses;
  Announce(flags, client, context);
  const absl::StatusOr<std::unique_ptr<metrics::HttpServer>> server = Serve(flags, client, context);
  if (!server.ok()) return Fail(server.status(), context);
  if (absl::Status started = client.Start(Options(flags)); !started.ok()) return Fail(started, context);
  AnnounceStart(client, context);
  return Consume(run, client, signals, pauses, context);
}

}  // namespace

void AddConsumerCommand(CLI::App& app, Action& chosen) {
  CLI::App* command =
      app.add_subcommand("consumer", "Runs the handlers; without any, prints messages as lines of JSON");
  auto flags = std::make_shared<ConsumerFlags>();
  AddRepeated(*command, "--topic", flags->topics, "Only this topic, else all that have handlers")->type_name("TOPIC");
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
  command
      ->add_option("--http", flags->http,
                   "Serve /metrics, /live, /ready and /status there; POST /pause and /resume with "
                   "the token in MESSAGING_HTTP_TOKEN. PORT alone: on 127.0.0.1")
      ->type_name("HOST:PORT");
  AddDuration(*command, "--stuck-after", flags->stuck_after, "A call that runs for longer turns /live red");
  command->add_option("--max-messages", flags->max_messages, "End when so many were handled; 0: never")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
      ->type_name("N")
      ->capture_default_str();
  AddDuration(*command, "--idle-exit", flags->idle_exit, "End when nothing came for so long and nothing is in hand");
  command->add_flag("--exec", flags->exec,
                    "Last: the rest of the line is a command that is run for each message, payload on its standard "
                    "input. Exit code 0 acknowledges, 65 is a dead letter, any other is retried");
  AddDuration(*command, "--exec-timeout", flags->exec_timeout, "How long that command may run");
  command->add_option("--max-retries", flags->max_retries, "How often --exec is tried again")
      ->check(CLI::Range(0, 1'000'000))
      ->type_name("N")
      ->capture_default_str();
  AddDuration(*command, "--retry-delay", flags->retry_delay, "How long after --exec failed");
  command->add_option("--log-format", flags->log_format, "Lines of the log: text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->type_name("FORMAT")
      ->capture_default_str();
  AddConnectionFlags(*command, flags->connection);
  AddExamples(*command, {"consumer", "consumer --topic orders.created --group debugging --from now",
                         "consumer --topic orders.created --max-messages 10 --idle-exit 5s",
                         "consumer --topic orders.created --concurrency 4 --exec ./handle-order --verbose",
                         "consumer --http 127.0.0.1:8080"});
  command->callback([&chosen, flags] {
    if (flags->exec_timeout <= absl::ZeroDuration()) throw CLI::ValidationError("--exec-timeout", "is more than 0");
    chosen = [flags](Context& context) {
      return WithClient(flags->connection, flags->group, context,
                        [&](Client& client) { return RunConsumer(*flags, client, context); });
    };
  });
}

}  // namespace messaging::cli
