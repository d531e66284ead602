// engine_bench [MESSAGES [ROUNDS]]: messages a second from the memory broker through the engine to a trivial handler
// and back: it reads the key and one byte, and each message is settled as in production. Two workers. With ROUNDS: so
// many times without and with metrics, in turn. Prints a line of JSON, or one a round.
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

namespace messaging {
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

struct Figures {
  double messages_per_second = 0;
  double cpu_ns_per_message = 0;
};

absl::Status Read(std::string_view message, const Received& received) {
  Counter& mine = Mine();
  mine.bytes += message[0] + static_cast<int64_t>(received.key()->size());
  mine.handled.store(mine.handled.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return absl::OkStatus();
}

Figures Measure(int64_t messages, Observer* observer) {
  MemoryBroker broker({.max_bytes = size_t{8} << 30, .retain_bytes = 0});
  const std::string payload(64, 'x');
  for (int64_t i = 0; i < messages; ++i) {
    broker.Publish(std::make_shared<Outgoing>(Message{.topic = "t",
                                                      .payload = payload,
                                                      .key = absl::StrCat("key", i % 1000),
                                                      .id = "id",
                                                      .timestamp = absl::Now()},
                                              absl::InfiniteFuture(), nullptr));
  }
  Producer producer(&broker, {}, nullptr);
  Providers providers;
  Dispatcher dispatcher(broker, producer, providers, {MakeHandler("h", Read, {.topics = {"t"}})},
                        {.group = "g", .concurrency = 2, .max_messages = 4'000, .observer = observer});
  const int64_t all = Handled() + messages;
  const double cpu = CpuSeconds();
  const absl::Time began = absl::Now();
  if (absl::Status started = dispatcher.Start(); !started.ok()) {
    std::fprintf(stderr, "%s\n", started.ToString().c_str());
    std::exit(1);
  }
  while (Handled() < all) absl::SleepFor(absl::Microseconds(500));
  const double seconds = absl::ToDoubleSeconds(absl::Now() - began);
  const double used = CpuSeconds() - cpu;
  if (absl::Status stopped = dispatcher.Stop(); !stopped.ok()) std::exit(1);
  return {static_cast<double>(messages) / seconds, used * 1e9 / static_cast<double>(messages)};
}

void Print(const Figures& figures) {
  std::printf("{\"messages_per_second\": %.0f, \"cpu_ns_per_message\": %.1f}", figures.messages_per_second,
              figures.cpu_ns_per_message);
}

}  // namespace
}  // namespace messaging

int main(int argc, char** argv) {
  using namespace messaging;
  const int64_t messages = argc > 1 ? std::atoll(argv[1]) : 2'000'000;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 0;
  if (rounds == 0) {
    Print(Measure(messages, nullptr));
    std::printf("\n");
    return 0;
  }
  metrics::PrometheusObserver observer;
  for (int round = 0; round <= rounds; ++round) {
    Figures off, on;
    if (round % 2 == 0) off = Measure(messages, nullptr);
    on = Measure(messages, &observer);
    if (round % 2 != 0) off = Measure(messages, nullptr);
    if (round == 0) continue;  // To warm up.
    std::printf("[");
    Print(off);
    std::printf(", ");
    Print(on);
    std::printf("]\n");
  }
}
