// NAME_bench send|consume|latency|idle TOPIC N: the library over whichever broker is linked, at the address that
// MESSAGING_URL names. Prints one line of JSON.
//   send     declares the topic and the group, then sends N messages, every Confirmation resolved
//   consume  consumes N messages that are there by a trivial handler, until all are acknowledged
//   latency  sends N messages, 200 a second, to a handler in the same process
//   idle     consumes a topic where nothing comes, for N seconds
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "messaging/broker/admin.h"
#include "messaging/broker/broker.h"
#include "messaging/client.h"
#include "messaging/handler.h"
#include "tests/bench/probe.h"
#include "tests/bench/usage.h"

namespace {

using messaging::Client;

constexpr size_t kSize = 256;
constexpr absl::Duration kLimit = absl::Minutes(5);
constexpr absl::Duration kPause = absl::Milliseconds(5);  // 200 a second.

void Check(const absl::Status& status, const char* what) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s: %s\n", what, status.ToString().c_str());
  std::exit(1);
}

std::unique_ptr<Client> NewClient() {
  auto client = Client::Create({.name = "bench", .group = "bench"});
  Check(client.status(), "client");
  return *std::move(client);
}

// So that a group has what was sent before it consumed.
void Declare(Client& client, const std::string& topic) {
  const absl::Status declared = client.broker().admin().Declare({.topic = topic, .groups = {"bench"}});
  if (!absl::IsUnimplemented(declared)) Check(declared, "declare");
}

void Send(const std::string& topic, int64_t messages) {
  const std::unique_ptr<Client> client = NewClient();
  Declare(*client, topic);
  const std::string payload(kSize, 'x');
  const bench::Usage usage;
  for (int64_t i = 0; i < messages; ++i) client->producer().Send(topic, payload, {.wait_for_room = true});
  Check(client->Flush(kLimit), "flush");
  usage.Print(messages);
}

void Consume(const std::string& topic, int64_t messages) {
  std::atomic<int64_t> handled{0};
  absl::Notification all;
  auto handler = [&](std::string_view) {
    if (handled.fetch_add(1, std::memory_order_relaxed) + 1 == messages) all.Notify();
    return absl::OkStatus();
  };
  const bench::Usage usage;
  const std::unique_ptr<Client> client = NewClient();
  client->AddHandler(messaging::MakeHandler("trivial", handler, {.topics = {topic}}));
  Check(client->Start({.concurrency = 2}), "start");
  if (!all.WaitForNotificationWithTimeout(kLimit)) Check(absl::DeadlineExceededError("not all came"), "consume");
  Check(client->Stop(), "stop");  // Every acknowledgement has reached the server.
  usage.Print(messages);
}

double Quantile(std::vector<absl::Duration>& values, double q) {
  std::sort(values.begin(), values.end());
  return absl::ToDoubleMicroseconds(values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))]);
}

void Latency(const std::string& topic, int64_t messages) {
  absl::Mutex mutex;
  bool handled = false;
  absl::Time at, back;
  auto handler = [&](std::string_view) {
    const absl::Time now = absl::Now();
    absl::MutexLock lock(&mutex);
    at = now;
    back = bench::LastReturn();
    handled = true;
    return absl::OkStatus();
  };
  const std::unique_ptr<Client> client = NewClient();
  client->AddHandler(messaging::MakeHandler("trivial", handler, {.topics = {topic}}));
  Check(client->Start({.concurrency = 2}), "start");
  const std::string payload(kSize, 'x');
  std::vector<absl::Duration> whole, sending, receiving;
  absl::Time next = absl::Now();
  for (int64_t i = -100; i < messages; ++i) {  // The first ones warm up.
    absl::SleepFor(next - absl::Now());
    next += kPause;
    bench::Arm();
    const absl::Time sent = absl::Now();
    client->producer().Send(topic, payload);
    absl::MutexLock lock(&mutex);
    if (!mutex.AwaitWithTimeout(absl::Condition(&handled), kLimit)) {
      Check(absl::DeadlineExceededError("it did not come"), "latency");
    }
    handled = false;
    next = std::max(next, absl::Now());
    if (i < 0) continue;
    whole.push_back(at - sent);
    const bool probed = back != absl::InfinitePast();
    sending.push_back(probed ? bench::FirstCall() - sent : absl::Microseconds(-1));
    receiving.push_back(probed ? at - back : absl::Microseconds(-1));
  }
  Check(client->Stop(), "stop");
  std::printf(
      "{\"p50_us\": %.1f, \"p99_us\": %.1f, \"send_to_call_p50_us\": %.1f, \"send_to_call_p99_us\": %.1f, "
      "\"return_to_handler_p50_us\": %.1f, \"return_to_handler_p99_us\": %.1f}\n",
      Quantile(whole, 0.5), Quantile(whole, 0.99), Quantile(sending, 0.5), Quantile(sending, 0.99),
      Quantile(receiving, 0.5), Quantile(receiving, 0.99));
}

double ResidentMebibytes() {
  long pages = 0, resident = 0;
  if (FILE* const file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%ld %ld", &pages, &resident) != 2) resident = 0;
    std::fclose(file);
  }
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

void Idle(const std::string& topic, int64_t seconds) {
  const std::unique_ptr<Client> client = NewClient();
  client->AddHandler(
      messaging::MakeHandler("trivial", [](std::string_view) { return absl::OkStatus(); }, {.topics = {topic}}));
  Check(client->Start(), "start");
  Check(client->producer().Send(topic, std::string(kSize, 'x')).Wait().status(), "send");
  absl::SleepFor(absl::Seconds(1));  // Until it is idle.
  const bench::Usage usage;
  absl::SleepFor(absl::Seconds(seconds));
  std::printf("{\"cpu_percent\": %.3f, \"resident_mib\": %.2f}\n",
              100 * absl::FDivDuration(usage.processor(), usage.wall()), ResidentMebibytes());
  Check(client->Stop(), "stop");
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc == 4 ? argv[1] : "";
  const std::string topic = argc == 4 ? argv[2] : "";
  const int64_t n = argc == 4 ? std::atoll(argv[3]) : 0;
  if (mode == "send") {
    Send(topic, n);
  } else if (mode == "consume") {
    Consume(topic, n);
  } else if (mode == "latency") {
    Latency(topic, n);
  } else if (mode == "idle") {
    Idle(topic, n);
  } else {
    std::fprintf(stderr, "usage: %s send|consume|latency|idle TOPIC N\n", argv[0]);
    return 2;
  }
}
