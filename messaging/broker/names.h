// Names of the places where a broker keeps retries and dead letters: one rule for all brokers.
#ifndef MESSAGING_BROKER_NAMES_H_
#define MESSAGING_BROKER_NAMES_H_

#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace messaging {

// Names are kept by servers: what these functions return never changes.
//
//   __messaging.retry.<length of topic>.<topic>.<group>.<rung in milliseconds, rounded up>
//   __messaging.dead.<length of topic>.<topic>.<group>
//
// Two different (topic, group, rung) never share a name, nor do names that differ only in '.' against '_' (Kafka
// takes these for one): where topic or group hold a '_', "u" and a bit for each of their '.' and '_', in hexadecimal,
// follows the length. No name is a valid topic or group (IsValidTopic), which topic and group have to be. Names use
// [A-Za-z0-9._-] and have at most 249 characters (Kafka's limit); what would be longer (topic and group of some 220
// together) is cut and ends in a hash of 128 bits of the whole.
std::string RetryPlace(std::string_view topic, std::string_view group, absl::Duration rung);
std::string DeadLetterPlace(std::string_view topic, std::string_view group);

// Whether `name` is one of the above: such topics are not shown to users as theirs.
bool IsInternalPlace(std::string_view name);

}  // namespace messaging

#endif  // MESSAGING_BROKER_NAMES_H_
