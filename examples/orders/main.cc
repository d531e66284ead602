// The shop's consumer: the handlers of handlers.cc, what they are given, and the command line of `core`.
#include "cli/main.h"

#include <cstdlib>
#include <string>

#include "examples/orders/database.h"
#include "examples/orders/outside.h"
#include "messaging/messaging.h"

namespace {

std::string FromEnvironment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string path = FromEnvironment("ORDERS_DATABASE", "orders.db");
  const std::string outside = FromEnvironment("ORDERS_OUTSIDE", "outside.db");
  orders::Mailer mailer(outside);
  orders::Gateway gateway(outside);
  messaging::Provide<orders::Mailer>(&mailer);
  messaging::Provide<orders::Gateway>(&gateway);
  messaging::ProvidePerLane<orders::Database>([path] { return orders::Database::Open(path); });
  messaging::ProvidePerMessage<orders::Transaction>([](orders::Database& db) { return db.Begin(); });
  return messaging::cli::Main(argc, argv);
}
