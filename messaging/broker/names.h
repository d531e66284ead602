// Names of the places where a broker keeps retries and dead letters: one rule for all brokers.
#ifndef MESSAGING_BROKER_NAMES_H_
#define MESSAGING_BROKER_NAMES_H_

#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace messaging {

// Two different (topic, group) pairs never share a name, whatever dots they hold, and no name is a valid topic's own:
// the lengths are part of it. Names use [A-Za-z0-9._-] and have at most 249 characters (Kafka's limit) for topics and
// groups of up to 100 characters each; longer ones end in a hash of the whole. Names differ in more than '.' against
// '_'.
std::string RetryPlace(std::string_view topic, std::string_view group, absl::Duration rung);
std::string DeadLetterPlace(std::string_view topic, std::string_view group);

// Whether `name` is one of the above: such topics are not shown to users as theirs.
bool IsInternalPlace(std::string_view name);

}  // namespace messaging

#endif  // MESSAGING_BROKER_NAMES_H_
