#include "kafka/kafka_broker.h"
#include "messaging/broker/registry.h"

namespace messaging {
namespace {

[[maybe_unused]] const bool registered = RegisterBroker({.name = "kafka",
                                                         .schemes = {"kafka", "kafka+ssl"},
                                                         .target = "//kafka",
                                                         .environment = "KAFKA_BOOTSTRAP_SERVERS",
                                                         .default_url = "kafka://127.0.0.1:9092",
                                                         .make = MakeKafkaBrokerFromUrl});

}  // namespace
}  // namespace messaging
