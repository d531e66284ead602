#include "memory/memory_broker.h"
#include "messaging/broker/registry.h"

namespace messaging {
namespace {

[[maybe_unused]] const bool registered = RegisterBroker({.name = "memory",
                                                         .schemes = {"memory"},
                                                         .target = "//memory",
                                                         .default_url = "memory://",
                                                         .make = MakeMemoryBroker});

}  // namespace
}  // namespace messaging
