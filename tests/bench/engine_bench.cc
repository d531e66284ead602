// engine_bench [MESSAGES [observed]]: messages a second from the memory broker through the engine to a trivial handler
// and back: it reads the key and one byte, and each message is settled as in production. Two workers. "observed": with
// metrics. Prints one line of JSON.
#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "memory/memory_broker.h"
#include "messaging/codec.h"
#include "messaging/dispatch/dispatcher.h"
#include "messaging/handler.h"
#include "messaging/outgoing.h"
#include "messaging/producer.h"
#include "metrics/prometheus.h"

namespace {

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// One for each worker, so that counting costs no cache line's travels.
struct alignas(128) Counter {
  std::atomic<int64_t> handled{0};
  int64_t bytes = 0;
};
Counter counters[2];
std::atomic<int> next_counter{0};

Counter& Mine() {
  thread_local Counter& mine = counters[next_counter.fetch_add(1) % 2];
  return mine;
}

int64_t Handled() { return counters[0].handled.load() + counters[1].handled.load(); }

}  // namespace

int main(int argc, char** argv) {
  using namespace messaging;
  const int64_t messages = argc > 1 ? std::atoll(argv[1]) : 2'000'000;
  MemoryBroker broker({.max_bytes = size_t{8} << 30, .retain_bytes = 0});
  const std::string payload(64, 'x');
  for (int64_t i = 0; i < messages; ++i) {
    broker.Publish(std::make_shared<Outgoing>(
        Message{.topic = "t", .payload = payload, .key = absl::StrCat("key", i % 1000), .id = "id"},
        absl::InfiniteFuture(), nullptr));
  }
  auto handler = [](std::string_view message, const Received& received) {
    Counter& mine = Mine();
    mine.bytes += message[0] + static_cast<int64_t>(received.key()->size());
    mine.handled.store(mine.handled.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return absl::OkStatus();
  };
  metrics::PrometheusObserver observer;
  const bool observed = argc > 2 && std::string_view(argv[2]) == "observed";
  Producer producer(&broker, {}, nullptr);
  Providers providers;
  Dispatcher dispatcher(
      broker, producer, providers, {MakeHandler("h", handler, {.topics = {"t"}})},
      {.group = "g", .concurrency = 2, .max_messages = 4'000, .observer = observed ? &observer : nullptr});
  const double cpu = CpuSeconds();
  const absl::Time began = absl::Now();
  if (absl::Status started = dispatcher.Start(); !started.ok()) {
    std::fprintf(stderr, "%s\n", started.ToString().c_str());
    return 1;
  }
  while (Handled() < messages) absl::SleepFor(absl::Microseconds(500));
  const double seconds = absl::ToDoubleSeconds(absl::Now() - began);
  const double used = CpuSeconds() - cpu;
  if (absl::Status stopped = dispatcher.Stop(); !stopped.ok()) return 1;
  std::printf("{\"messages_per_second\": %.0f, \"cpu_ns_per_message\": %.0f, \"check\": %lld}\n",
              static_cast<double>(messages) / seconds, used * 1e9 / static_cast<double>(messages),
              static_cast<long long>(counters[0].bytes + counters[1].bytes));
}
