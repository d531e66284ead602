#include "cli/bench_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/random/random.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/json_line.h"
#include "cli/pace.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/status_text.h"
#include "cli/tally.h"
#include "messaging/broker/broker.h"
#include "messaging/call.h"
#include "messaging/handler.h"
#include "messaging/message.h"
#include "messaging/producer.h"

namespace messaging::cli {
namespace {

constexpr size_t kStamp = 19;  // Digits of the time that begins a payload.

struct BenchFlags {
  ConnectionFlags connection;
  int64_t messages = 10'000;
  int size = 100;
  int keys = 100;
  int concurrency = 8;
  double rate = 0;
  absl::Duration give_up = absl::Seconds(30);  // After nothing was handled for so long.
  bool json = false;
};

// What came, and how long it took. Shared with handlers and callbacks, which may outlive the command's wait.
class Arrivals {
 public:
  void Add(absl::Duration latency) {
    const absl::Time now = absl::Now();
    absl::MutexLock lock(&mutex_);
    latencies_.push_back(latency);
    last_ = now;
  }
  // Until there are `count`, or `limit` passed: then false.
  bool Await(int64_t count, absl::Duration limit) const {
    const auto enough = [this, count]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return static_cast<int64_t>(latencies_.size()) >= count;
    };
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&enough), limit);
  }
  int64_t count() const {
    absl::MutexLock lock(&mutex_);
    return static_cast<int64_t>(latencies_.size());
  }
  std::vector<absl::Duration> latencies() const {
    absl::MutexLock lock(&mutex_);
    return latencies_;
  }
  absl::Time last() const {
    absl::MutexLock lock(&mutex_);
    return last_;
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<absl::Duration> latencies_ ABSL_GUARDED_BY(mutex_);
  absl::Time last_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

// The time of its sending, then anything.
std::string Payload(int size) {
  std::string payload = absl::StrFormat("%0*d", static_cast<int>(kStamp), absl::ToUnixNanos(absl::Now()));
  payload.resize(static_cast<size_t>(size), 'x');
  return payload;
}

Handler Measuring(const std::string& topic, std::shared_ptr<Arrivals> arrivals) {
  Handler handler;
  handler.name = handler.options.name = "bench";
  handler.options.topics = {topic};
  handler.options.group = topic;
  handler.message_type = "bytes";
  handler.invoke = [arrivals = std::move(arrivals)](Call& call) {
    for (size_t i = 0; i < call.messages().size(); ++i) {
      int64_t sent = 0;
      if (absl::SimpleAtoi(call.messages()[i].payload().substr(0, kStamp), &sent)) {
        arrivals->Add(absl::Now() - absl::FromUnixNanos(sent));
      }
      call.SetOutcome(i, absl::OkStatus());
    }
  };
  return handler;
}

std::string Text(const Latencies& latencies) {
  const auto text = [](absl::Duration d) { return absl::FormatDuration(absl::Trunc(d, absl::Microseconds(10))); };
  return absl::StrCat("p50 ", text(latencies.p50), "  p90 ", text(latencies.p90), "  p99 ", text(latencies.p99),
                      "  max ", text(latencies.max));
}

void Json(JsonLine& line, const std::string& name, int64_t count, absl::Duration elapsed, const Latencies& latencies) {
  line.Number(name, count)
      .Number(name + "_per_second",
              static_cast<int64_t>(static_cast<double>(count) / std::max(absl::ToDoubleSeconds(elapsed), 1e-6)));
  const auto micros = [&](const char* which, absl::Duration d) {
    line.Number(absl::StrCat(name, "_", which, "_microseconds"), absl::ToInt64Microseconds(d));
  };
  micros("p50", latencies.p50);
  micros("p90", latencies.p90);
  micros("p99", latencies.p99);
  micros("max", latencies.max);
}

// One measurement.
class Bench {
 public:
  Bench(const BenchFlags& flags, Client& client, Context& context)
      : flags_(flags),
        client_(client),
        context_(context),
        topic_(absl::StrFormat("core-bench-%08x", absl::Uniform<uint32_t>(absl::BitGen()))) {}

  ExitCode Run();

 private:
  void Send(const StopSignals& signals);
  // False: a signal came, or nothing did.
  bool AwaitAll(const StopSignals& signals);
  ExitCode Report();
  void CleanUp();

  const BenchFlags& flags_;
  Client& client_;
  Context& context_;
  const std::string topic_;
  const std::shared_ptr<Tally> tally_ = std::make_shared<Tally>();
  const std::shared_ptr<Arrivals> accepted_ = std::make_shared<Arrivals>();
  const std::shared_ptr<Arrivals> handled_ = std::make_shared<Arrivals>();
  absl::Time began_;
  int64_t sent_ = 0;
};

void Bench::Send(const StopSignals& signals) {
  Progress progress(context_.err, flags_.messages, absl::Now());
  const Pace pace(flags_.rate, signals);
  began_ = absl::Now();
  SendOptions options;
  options.wait_for_room = true;
  for (; sent_ < flags_.messages && pace.Await(sent_); ++sent_) {
    Message message{.topic = topic_, .payload = Payload(flags_.size)};
    if (flags_.keys > 0) message.key = absl::StrCat(sent_ % flags_.keys);
    const absl::Time now = absl::Now();
    client_.producer()
        .Send(std::move(message), options)
        .Then([tally = tally_, accepted = accepted_, number = sent_ + 1, now](const absl::StatusOr<Receipt>& receipt) {
          if (receipt.ok()) accepted->Add(absl::Now() - now);
          tally->Add(number, receipt.status());
        });
    if (sent_ % 64 == 0) progress.Update(sent_, sent_, now);
  }
}

bool Bench::AwaitAll(const StopSignals& signals) {
  Progress progress(context_.err, sent_, absl::Now(), "handled");
  while (signals.number() == 0) {
    const Tally::Counts counts = tally_->counts();
    if (counts.resolved() == sent_ && handled_->Await(counts.accepted, absl::Milliseconds(100))) return true;
    if (counts.resolved() < sent_) (void)tally_->AwaitResolved(sent_, absl::Milliseconds(100));
    progress.Update(handled_->count(), handled_->count(), absl::Now());
    if (absl::Now() - std::max({began_, handled_->last(), accepted_->last()}) > flags_.give_up) return false;
  }
  return false;
}

ExitCode Bench::Report() {
  const absl::Duration sending = accepted_->last() - began_, handling = handled_->last() - began_;
  const Latencies sent = Percentiles(accepted_->latencies()), came = Percentiles(handled_->latencies());
  if (flags_.json) {
    JsonLine line;
    line.Text("broker", client_.broker().name()).Number("messages", sent_).Number("bytes_each", flags_.size);
    Json(line, "accepted", accepted_->count(), sending, sent);
    Json(line, "handled", handled_->count(), handling, came);
    return context_.Print(std::move(line).Finish());
  }
  const auto row = [](std::string_view what, int64_t count, absl::Duration elapsed, const Latencies& latencies) {
    return absl::StrCat(what, Thousands(count), " in ", absl::StrFormat("%.2f", absl::ToDoubleSeconds(elapsed)), " s (",
                        Rate(count, elapsed), "/s)  ", Text(latencies), "\n");
  };
  return context_.Print(absl::StrCat("broker    ", client_.broker().name(), ", ", client_.url(), ", ", Thousands(sent_),
                                     " messages of ", flags_.size, " bytes\n",
                                     row("accepted  ", accepted_->count(), sending, sent),
                                     row("handled   ", handled_->count(), handling, came)));
}

void Bench::CleanUp() {
  const absl::Status removed = client_.broker().admin().Remove(topic_);
  if (!removed.ok()) context_.Say(absl::StrCat("topic ", topic_, " is left behind: ", cli::Text(removed)));
}

ExitCode Bench::Run() {
  StopSignals signals;
  if (absl::Status reached = client_.broker().Ping(absl::Seconds(10)); !reached.ok()) return Fail(reached, context_);
  const absl::Status declared = client_.broker().admin().Declare({.topic = topic_, .groups = {topic_}});
  if (!declared.ok() && !absl::IsUnimplemented(declared)) return Fail(declared, context_);
  client_.AddHandler(Measuring(topic_, handled_));
  ConsumerOptions options;
  options.topics = {topic_};
  options.concurrency = flags_.concurrency;
  absl::Status status = client_.Start(options);
  bool all = false;
  if (status.ok()) {
    Send(signals);
    all = AwaitAll(signals);
    status = client_.Stop();
  }
  CleanUp();
  if (!status.ok()) return Fail(status, context_);
  for (const std::string& failure : tally_->Failures()) context_.Say(failure);
  const ExitCode reported = Report();
  if (signals.number() != 0) return static_cast<ExitCode>(kSignalled + signals.number());
  if (!all) context_.Say(absl::StrCat("gave up: nothing came for ", absl::FormatDuration(flags_.give_up)));
  return !all || accepted_->count() < sent_ ? kFailed : reported;
}

}  // namespace

Latencies Percentiles(std::vector<absl::Duration> measured) {
  if (measured.empty()) return {};
  std::sort(measured.begin(), measured.end());
  const auto at = [&](double share) {
    const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(measured.size())));
    return measured[std::max<size_t>(rank, 1) - 1];
  };
  return {.p50 = at(0.5), .p90 = at(0.9), .p99 = at(0.99), .max = measured.back()};
}

void AddBenchCommand(CLI::App& app, Action& chosen) {
  CLI::App* command =
      app.add_subcommand("bench", "Measures the broker: sends to a topic of its own, consumes that, and deletes it");
  auto flags = std::make_shared<BenchFlags>();
  const auto number = [&](const std::string& name, auto& value, auto least, auto most, const std::string& help) {
    command->add_option(name, value, help)->check(CLI::Range(least, most))->type_name("N")->capture_default_str();
  };
  number("--messages", flags->messages, int64_t{1}, int64_t{100'000'000}, "How many");
  number("--size", flags->size, static_cast<int>(kStamp), 16 << 20, "Bytes of each payload");
  number("--keys", flags->keys, 0, 1'000'000, "Different keys, each in order; 0: no keys");
  number("--concurrency", flags->concurrency, 1, 4096, "Handlers that run at once");
  number("--rate", flags->rate, 0.0, 1e9, "So many a second at most; 0: as fast as it goes");
  AddDuration(*command, "--give-up", flags->give_up, "End when nothing came for so long");
  AddJson(*command, flags->json);
  AddConnectionFlags(*command, flags->connection);
  AddExamples(*command, {"bench", "bench --messages 100000 --size 1000 --json", "bench --rate 500 --keys 0"});
  command->callback([&chosen, flags] {
    chosen = [flags](Context& context) {
      return WithClient(flags->connection, "", context,
                        [&](Client& client) { return Bench(*flags, client, context).Run(); });
    };
  });
}

}  // namespace messaging::cli
