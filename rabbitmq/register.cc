#include "messaging/broker/registry.h"
#include "rabbitmq/rabbitmq_broker.h"

namespace messaging {
namespace {

[[maybe_unused]] const bool registered = RegisterBroker({.name = "rabbitmq",
                                                         .schemes = {"amqp", "amqps"},
                                                         .target = "//rabbitmq",
                                                         .environment = "RABBITMQ_URL",
                                                         .default_url = "amqp://guest:guest@127.0.0.1:5672/",
                                                         .make = MakeRabbitmqBrokerFromUrl});

}  // namespace
}  // namespace messaging
