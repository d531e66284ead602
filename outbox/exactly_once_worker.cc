// One process of a chain: writes rows with messages (write), relays them (relay), or handles them (consume). It kills
// itself with SIGKILL when it reaches a step for the n-th time.
//
//   exactly_once_worker write|relay|consume DATABASE MESSAGES_URL ORDERS [STEP N]
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "inbox/inbox.h"
#include "messaging/messaging.h"
#include "outbox/outbox.h"
#include "outbox/relay.h"
#include "sql/connection.h"

namespace messaging {
namespace {

std::string last_step;
std::atomic<int> times_left{0};

void Step(std::string_view step) {
  if (step == last_step && times_left.fetch_sub(1) == 1) kill(getpid(), SIGKILL);
}

// Tells the steps of a handler's commit.
class Effects : public inbox::Transaction {
 public:
  using inbox::Transaction::Transaction;
  absl::Status Commit() {
    Step("handled");
    absl::Status status = inbox::Transaction::Commit();
    Step("effect committed");
    return status;
  }
};

absl::Status Handle(const std::string& order, const Received& received, Effects& db) {
  Step("handling");
  return db
      .Execute("INSERT INTO effects(message_key, order_id) VALUES($1, $2)",
               {std::string(received.key().value_or("")), std::atoll(order.c_str())})
      .status();
}

absl::Status WriteOrder(sql::Connection& connection, int64_t order) {
  absl::StatusOr<std::unique_ptr<sql::Transaction>> db = sql::Begin(connection);
  if (!db.ok()) return db.status();
  absl::Status status = (*db)->Execute("INSERT INTO orders(id) VALUES($1)", {order}).status();
  if (!status.ok()) return status;
  Step("row written");
  status = outbox::Outbox(**db).Send("orders", absl::StrCat(order), {.key = absl::StrCat(order % 5)}).status();
  if (!status.ok()) return status;
  Step("message written");
  status = (*db)->Commit();
  Step("order committed");
  return status;
}

absl::Status Write(sql::Connection& db, int64_t orders) {
  absl::StatusOr<int64_t> done = db.Number("SELECT count(*) FROM orders");
  if (!done.ok()) return done.status();
  for (int64_t order = *done; order < orders; ++order) {
    if (absl::Status status = WriteOrder(db, order); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// Until all orders are written and nothing waits.
absl::Status RelayAll(const std::string& database, sql::Connection& db, Producer& producer, int64_t orders) {
  auto relay = outbox::Relay::Start(
      {.database = database, .batch = 10, .election_pause = absl::Milliseconds(50), .on_step = Step}, producer);
  if (!relay.ok()) return relay.status();
  while (true) {
    absl::StatusOr<int64_t> written = db.Number("SELECT count(*) FROM orders");
    absl::StatusOr<outbox::Lag> lag = outbox::MeasureLag(db);
    if (written.ok() && *written == orders && lag.ok() && lag->waiting == 0) return absl::OkStatus();
    absl::SleepFor(absl::Milliseconds(5));
  }
}

// Until all have had their effect, and a little longer: what comes twice would come then.
absl::Status Consume(const std::string& database, sql::Connection& db, Client& client, int64_t orders) {
  client.providers().ProvidePerLane<sql::Connection>([database] { return sql::Open(database); });
  client.providers().ProvidePerMessage<Effects>([](sql::Connection& lane) { return sql::Begin<Effects>(lane); });
  client.AddHandler(MakeHandler(
      "Handle", Handle,
      {.topics = {"orders"}, .max_retries = 100, .retry_delay = absl::Milliseconds(20), .idempotent = true}));
  if (absl::Status status = client.Start({.concurrency = 4}); !status.ok()) return status;
  while (true) {
    absl::StatusOr<int64_t> effects = db.Number("SELECT count(*) FROM effects");
    absl::StatusOr<int64_t> backlog = client.Backlog();
    if (effects.ok() && *effects >= orders && backlog.ok() && *backlog == 0 && client.in_flight() == 0) {
      return client.Stop();
    }
    absl::SleepFor(absl::Milliseconds(5));
  }
}

absl::Status Run(char** argv) {
  const std::string mode = argv[1], database = argv[2];
  const int64_t orders = std::atoll(argv[4]);
  absl::StatusOr<std::unique_ptr<sql::Connection>> db = sql::Open(database);
  if (!db.ok()) return db.status();
  if (mode == "write") return Write(**db, orders);
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Create({.url = argv[3], .group = "effects"});
  if (!client.ok()) return client.status();
  if (mode == "relay") return RelayAll(database, **db, (*client)->producer(), orders);
  return Consume(database, **db, **client, orders);
}

}  // namespace
}  // namespace messaging

int main(int argc, char** argv) {
  if (argc != 5 && argc != 7) return 2;
  if (argc == 7) {
    messaging::last_step = argv[5];
    messaging::times_left = std::atoi(argv[6]);
  }
  const absl::Status status = messaging::Run(argv);
  if (!status.ok()) fprintf(stderr, "%s: %s\n", argv[1], status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
