#include "messaging/broker/registry.h"
#include "sqlite/sqlite_broker.h"

namespace messaging {
namespace {

[[maybe_unused]] const bool registered = RegisterBroker({.name = "sqlite",
                                                         .schemes = {"sqlite"},
                                                         .target = "//sqlite",
                                                         .default_url = "sqlite://messaging.db",
                                                         .make = MakeSqliteBrokerFromUrl});

}  // namespace
}  // namespace messaging
