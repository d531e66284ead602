#include "messaging/broker/registry.h"
#include "redis/redis_broker.h"

namespace messaging {
namespace {

[[maybe_unused]] const bool registered = RegisterBroker({.name = "redis",
                                                         .schemes = {"redis", "rediss", "redis+unix"},
                                                         .target = "//redis",
                                                         .environment = "REDIS_URL",
                                                         .default_url = "redis://127.0.0.1:6379/0",
                                                         .make = MakeRedisBrokerFromUrl});

}  // namespace
}  // namespace messaging
