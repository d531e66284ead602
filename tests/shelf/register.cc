#include "messaging/broker/registry.h"
#include "shelf_broker.h"

[[maybe_unused]] static const bool registered = messaging::RegisterBroker({.name = "shelf",
                                                                           .schemes = {"shelf"},
                                                                           .target = "//tests/shelf",
                                                                           .default_url = "shelf://",
                                                                           .make = MakeShelfBroker});
