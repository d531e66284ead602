// What an outbox costs on SQLite: messages sent directly, and through an outbox, in turn, until the broker has accepted
// all of them.
//
//   outbox_bench [MESSAGES [ROUNDS]]
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "messaging/messaging.h"
#include "outbox/outbox.h"
#include "outbox/relay.h"
#include "sql/connection.h"

namespace messaging {
namespace {

const std::string& Payload() {
  static const auto& payload = *new std::string(200, 'x');
  return payload;
}

double PerSecond(int messages, absl::Time from) { return messages / absl::ToDoubleSeconds(absl::Now() - from); }

double Direct(Client& client, int messages) {
  const absl::Time from = absl::Now();
  for (int i = 0; i < messages; ++i) {
    client.producer().Send("bench", Payload(), {.key = absl::StrCat(i % 1000), .wait_for_room = true});
  }
  (void)client.Flush(absl::InfiniteDuration());
  return PerSecond(messages, from);
}

void Write(sql::Connection& db, int messages, int in_one) {
  for (int i = 0; i < messages; i += in_one) {
    auto transaction = *sql::Begin(db);
    for (int j = i; j < i + in_one; ++j) {
      if (!outbox::Outbox(*transaction).Send("bench", Payload(), {.key = absl::StrCat(j % 1000)}).ok()) abort();
    }
    if (!transaction->Commit().ok()) abort();
  }
}

// Written by one thread, `in_one` to a transaction, while the relay sends.
double ThroughOutbox(Client& client, const std::string& database, int messages, int in_one) {
  auto db = *sql::Open(database);
  (void)outbox::CreateTable(*db);
  auto relay = *outbox::Relay::Start({.database = database}, client.producer());
  const absl::Time from = absl::Now();
  Write(*db, messages, in_one);
  while (relay->sent() < messages) absl::SleepFor(absl::Milliseconds(1));
  return PerSecond(messages, from);
}

// What a relay sends that finds all of them written.
double Relayed(Client& client, const std::string& database, int messages) {
  auto db = *sql::Open(database);
  (void)outbox::CreateTable(*db);
  Write(*db, messages, 1'000);
  const absl::Time from = absl::Now();
  auto relay = *outbox::Relay::Start({.database = database}, client.producer());
  while (relay->sent() < messages) absl::SleepFor(absl::Milliseconds(1));
  return PerSecond(messages, from);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int Main(int messages, int rounds) {
  const char* base = std::getenv("TMPDIR");
  std::string folder = absl::StrCat(base != nullptr ? base : "/tmp", "/outbox-bench-XXXXXX");
  if (mkdtemp(folder.data()) == nullptr) return 1;
  auto client = *Client::Create({.url = absl::StrCat("sqlite://", folder, "/messages.db"), .group = "bench"});
  std::vector<double> direct, ones, tens, relayed;
  for (int round = 0; round < rounds; ++round) {
    direct.push_back(Direct(*client, messages));
    ones.push_back(ThroughOutbox(*client, absl::StrCat("sqlite://", folder, "/service.db"), messages, 1));
    tens.push_back(ThroughOutbox(*client, absl::StrCat("sqlite://", folder, "/service.db"), messages, 10));
    relayed.push_back(Relayed(*client, absl::StrCat("sqlite://", folder, "/service.db"), messages));
    printf(
        "round %d: direct %.0f, outbox %.0f (1 message a transaction), %.0f (10), relay alone %.0f messages a second\n",
        round + 1, direct.back(), ones.back(), tens.back(), relayed.back());
  }
  printf("median of %d: direct %.0f, outbox %.0f (%.2f of direct), %.0f (%.2f), relay alone %.0f (%.2f)\n", rounds,
         Median(direct), Median(ones), Median(ones) / Median(direct), Median(tens), Median(tens) / Median(direct),
         Median(relayed), Median(relayed) / Median(direct));
  client.reset();
  return system(absl::StrCat("rm -r ", folder).c_str()) == 0 ? 0 : 1;
}

}  // namespace
}  // namespace messaging

int main(int argc, char** argv) {
  return messaging::Main(argc > 1 ? std::atoi(argv[1]) : 50'000, argc > 2 ? std::atoi(argv[2]) : 5);
}
