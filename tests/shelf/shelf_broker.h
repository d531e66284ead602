// A broker that somebody else wrote, as small as one can be: messages of one process, in memory, on shelves by group
// and topic. It is here to show what writing a broker takes, and that it can be done outside of core messaging.
#ifndef SHELF_BROKER_H_
#define SHELF_BROKER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/registry.h"

// "shelf://NAME"; brokers of one name share everything, and nothing is ever thrown away.
absl::StatusOr<std::unique_ptr<messaging::Broker>> MakeShelfBroker(const messaging::BrokerOptions& options);

#endif  // SHELF_BROKER_H_
