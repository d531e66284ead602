// The worker's program: a client of the linked broker that consumes or sends as worker.h says, and writes its ledger.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "messaging/client.h"
#include "messaging/handler.h"
#include "tests/conformance/worker_options.h"
#include "tests/ledger/ledger.h"

namespace messaging::conformance {
namespace {

using ledger::Event;
using ledger::Ledger;

struct Setting {
  WorkerOptions options;
  Ledger ledger;
};
Setting* setting = nullptr;
std::atomic<int64_t> calls{0};

std::string IdOf(std::string_view payload) { return std::string(payload.substr(0, payload.find(' '))); }

[[noreturn]] void Die(std::string_view what, const absl::Status& why) {
  std::fprintf(stderr, "worker: %s: %s\n", std::string(what).c_str(), why.ToString().c_str());
  std::_Exit(1);
}

// If this is where the test wants to kill: says so, and waits for it.
void Pass(std::string_view point, const std::string& id) {
  if (setting->options.stop_point != point || setting->options.stop_at != id) return;
  setting->ledger.Append({.event = Event::kPoint, .id = id, .note = std::string(point)});
  while (true) pause();
}

bool Matches(const std::string& id, const std::string& prefix) { return !prefix.empty() && id.starts_with(prefix); }

}  // namespace

// Decoding is the last that happens before the handler.
struct Work {
  std::string id;
};

// The commit is the first that happens after it.
struct Transaction {
  std::string id;
  absl::Status Commit() {
    Pass("after", id);
    return absl::OkStatus();
  }
};

}  // namespace messaging::conformance

namespace messaging {
template <>
struct Codec<conformance::Work> {
  static constexpr std::string_view kContentType = "application/octet-stream";
  static absl::Status Decode(const Received& received, conformance::Work& out) {
    out.id = conformance::IdOf(received.payload());
    conformance::Pass("before", out.id);
    return absl::OkStatus();
  }
};
}  // namespace messaging

namespace messaging::conformance {
namespace {

absl::Status Handle(const Work& work, const Received& received, Transaction& transaction) {
  const WorkerOptions& options = setting->options;
  ledger::Entry entry = {.event = Event::kBegin,
                         .id = work.id,
                         .key = std::string(received.key().value_or("")),
                         .handler = std::string(received.handler()),
                         .attempt = received.attempt(),
                         .note = received.redelivered() ? "redelivered" : ""};
  transaction.id = work.id;
  setting->ledger.Append(entry);
  ++calls;
  Pass("in", work.id);
  if (Matches(work.id, options.abort_on)) std::abort();
  absl::SleepFor(options.slow);
  const bool fails = Matches(work.id, options.fail_on);
  entry.event = fails ? Event::kEnd : Event::kHandled;
  setting->ledger.Append(entry);
  return fails ? absl::UnavailableError("told to fail") : absl::OkStatus();
}

absl::Status Send(Client& client) {
  const WorkerOptions& options = setting->options;
  for (int i = 0; i < options.send; ++i) {
    std::string payload = absl::StrCat(options.prefix, i);
    const std::string id = payload;
    if (options.size > payload.size() + 1) payload += " " + std::string(options.size - payload.size() - 1, 'x');
    absl::SleepFor(options.slow);
    SendOptions send = {.wait_for_room = options.wait_for_room};
    if (options.keys > 0) send.key = absl::StrCat(options.prefix, i % options.keys);
    setting->ledger.Append({.event = Event::kSent, .id = id, .key = send.key.value_or(""), .sequence = i});
    const Confirmation sent = client.producer().Send(options.topics.at(0), payload, std::move(send));
    sent.Then([id](const absl::StatusOr<Receipt>& receipt) {
      setting->ledger.Append({.event = receipt.ok()                         ? Event::kAccepted
                                       : IsUnknownOutcome(receipt.status()) ? Event::kUnknown
                                                                            : Event::kRefused,
                              .id = id,
                              .note = receipt.status().ToString()});
    });
  }
  return client.Flush(absl::Seconds(60));
}

// After each call (or several) everything received is settled at some time: tells so.
void ReportIdle(Client& client) {
  int64_t reported = 0;
  while (true) {
    const int64_t now = calls;
    if (now != reported && client.in_flight() == 0) {
      setting->ledger.Append({.event = Event::kPoint, .note = "idle"});
      reported = now;
    }
    absl::SleepFor(absl::Milliseconds(1));
  }
}

absl::Status Consume(Client& client, const sigset_t& signals) {
  const WorkerOptions& options = setting->options;
  client.providers().ProvidePerMessage<Transaction>([] { return Transaction(); });
  client.AddHandler(
      MakeHandler(options.handler, &Handle,
                  {.topics = options.topics, .max_retries = options.max_retries, .retry_delay = options.retry_delay}));
  absl::Status status = client.Start({.drain_timeout = options.drain_timeout,
                                      .concurrency = options.concurrency,
                                      .max_messages = options.max_messages,
                                      .max_bytes = options.max_bytes});
  if (!status.ok()) return status;
  if (options.report_idle) std::thread(ReportIdle, std::ref(client)).detach();
  setting->ledger.Append({.event = Event::kPoint, .note = "ready"});
  int signal = 0;
  sigwait(&signals, &signal);
  return client.Stop();
}

int Main(int argc, char** argv) {
  WorkerOptions options = FromArguments(argc, argv);
  absl::StatusOr<Ledger> ledger = Ledger::Open(options.ledger);
  if (!ledger.ok()) Die("ledger", ledger.status());
  setting = new Setting{std::move(options), *std::move(ledger)};
  sigset_t signals;  // Before any thread is made, which inherits it.
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Create({.name = "worker",
                                                                   .broker = setting->options.broker,
                                                                   .url = setting->options.url,
                                                                   .group = setting->options.group,
                                                                   .native = setting->options.native});
  if (!client.ok()) Die("client", client.status());
  const absl::Status status = setting->options.send > 0 ? Send(**client) : Consume(**client, signals);
  if (!status.ok()) Die("ended", status);
  if (!setting->options.report_idle) client->reset();
  // Without destroying what a detached thread uses.
  std::_Exit(0);
}

}  // namespace
}  // namespace messaging::conformance

int main(int argc, char** argv) { return messaging::conformance::Main(argc, argv); }
