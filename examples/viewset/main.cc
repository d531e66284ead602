// Orders as an HTTP service: see README.md.
#include <signal.h>

#include <cstdio>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "examples/viewset/http_service.h"
#include "examples/viewset/order_view_set.h"
#include "messaging/messaging.h"
#include "outbox/outbox.h"
#include "outbox/relay.h"
#include "sql/connection.h"

namespace {

struct Options {
  std::string listen = "127.0.0.1:8080";
  std::string database = "sqlite://viewset.db";
  bool outbox = false;
};

absl::Status CreateTables(const Options& options, viewset::ViewSet& orders) {
  absl::StatusOr<std::unique_ptr<messaging::sql::Connection>> db = messaging::sql::Open(options.database);
  if (!db.ok()) return db.status();
  if (absl::Status status = orders.CreateTable(**db); !status.ok()) return status;
  return messaging::outbox::CreateTable(**db);
}

// Serves until `stop` comes.
absl::Status Serve(const Options& options, const sigset_t& stop) {
  // What is wrong with the configuration is said now, not at the first order.
  if (absl::StatusOr<messaging::Client*> client = messaging::DefaultClient(); !client.ok()) return client.status();
  viewset::OrderViewSet direct;
  viewset::OutboxOrderViewSet outbox;
  viewset::ViewSet& orders = options.outbox ? static_cast<viewset::ViewSet&>(outbox) : direct;
  if (absl::Status status = CreateTables(options, orders); !status.ok()) return status;
  std::unique_ptr<messaging::outbox::Relay> relay;
  if (options.outbox) {
    absl::StatusOr<std::unique_ptr<messaging::outbox::Relay>> started =
        messaging::outbox::Relay::Start({.database = options.database}, messaging::GetProducer());
    if (!started.ok()) return started.status();
    relay = *std::move(started);
  }
  viewset::HttpService service(options.database);
  service.Mount("/orders", orders);
  absl::StatusOr<std::string> address = service.Start(options.listen);
  if (!address.ok()) return address.status();
  printf("listening on http://%s\n", address->c_str());
  fflush(stdout);
  int signal = 0;
  sigwait(&stop, &signal);
  service.Stop();  // Answers what is in hand; that may still publish.
  if (relay != nullptr) relay->Stop();
  messaging::Shutdown();
  printf("stopped\n");
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  // Before there is any thread: they inherit it, and the signal is for sigwait.
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  signal(SIGPIPE, SIG_IGN);

  Options options;
  CLI::App app("Orders over HTTP. The broker is as MESSAGING_URL says.");
  app.add_option("--listen", options.listen, "HOST:PORT; port 0: any that is free")->capture_default_str();
  app.add_option("--database", options.database, "sqlite://FILE or postgres://...")->capture_default_str();
  app.add_flag("--outbox", options.outbox, "publish through an outbox, in the order's own transaction");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = Serve(options, stop);
  if (!status.ok()) fprintf(stderr, "viewset: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
