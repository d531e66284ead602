#include "examples/shop/service/service.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/main.h"
#include "messaging/messaging.h"
#include "outbox/relay.h"
#include "sql/connection.h"

namespace shop {
namespace {

namespace sql = messaging::sql;

std::string FromEnvironment(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

absl::Status CreateTables(const std::string& database, const char* schema) {
  absl::StatusOr<std::unique_ptr<sql::Connection>> db = sql::Open(database);
  if (!db.ok()) return db.status();
  if (absl::Status status = (*db)->Script(schema); !status.ok()) return status;
  if (absl::Status status = messaging::inbox::CreateTable(**db); !status.ok()) return status;
  return messaging::outbox::CreateTable(**db);
}

// Sends what this service has committed, over a connection of its own to the broker.
struct Sending {
  std::unique_ptr<messaging::Client> client;
  std::unique_ptr<messaging::outbox::Relay> relay;
};

absl::StatusOr<Sending> StartSending(const std::string& database, const char* name) {
  absl::StatusOr<std::unique_ptr<messaging::Client>> client =
      messaging::Client::Create({.name = absl::StrCat(name, "-relay"), .group = name});
  if (!client.ok()) return client.status();
  absl::StatusOr<std::unique_ptr<messaging::outbox::Relay>> relay = messaging::outbox::Relay::Start(
      {.database = database, .housekeeping = [](sql::Connection& db) { return messaging::inbox::Clean(db).status(); }},
      (*client)->producer());
  if (!relay.ok()) return relay.status();
  return Sending{*std::move(client), *std::move(relay)};
}

}  // namespace

messaging::HandlerOptions Handling(const char* topic, messaging::Validator validate, int max_retries) {
  absl::Duration delay;
  if (!absl::ParseDuration(FromEnvironment("SHOP_RETRY_DELAY", "1s"), &delay)) delay = absl::Seconds(1);
  return {.topics = {topic},
          .max_retries = max_retries,
          .retry_delay = delay,
          .backoff = {.factor = 2, .max = absl::Minutes(1)},
          .idempotent = true,
          .validate = std::move(validate)};
}

int RunService(int argc, char** argv, const char* name, const char* schema) {
  const std::string database = FromEnvironment("SHOP_DATABASE", absl::StrCat("sqlite://", name, ".db"));
  messaging::ProvidePerLane<sql::Connection>([database] { return sql::Open(database); });
  messaging::ProvidePerMessage<messaging::inbox::Transaction>(
      [](sql::Connection& db) { return sql::Begin<messaging::inbox::Transaction>(db); });
  Sending sending;
  if (argc > 1 && std::string_view(argv[1]) == "consumer") {
    absl::Status status = CreateTables(database, schema);
    if (status.ok()) {
      absl::StatusOr<Sending> started = StartSending(database, name);
      status = started.status();
      if (started.ok()) sending = *std::move(started);
    }
    if (!status.ok()) {
      fprintf(stderr, "%s: %s\n", name, status.ToString().c_str());
      return 1;
    }
  }
  const int code = messaging::cli::Main(argc, argv);
  // What the last handlers wrote is sent by this relay, or by that of the next process.
  if (sending.relay != nullptr) sending.relay->Stop();
  return code;
}

}  // namespace shop
