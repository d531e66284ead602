// Where a group keeps retries and dead letters, and how those topics are made.
#ifndef KAFKA_PLACES_H_
#define KAFKA_PLACES_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "kafka/handle.h"
#include "messaging/broker/broker.h"

namespace messaging::kafka {

// A place for retries without delay: replays, and suspects that several handlers share. Each consumed topic has it.
std::string ReplayPlace(std::string_view topic, std::string_view group);
// The place for a delay: of the shortest of `rungs` (ascending) that is at least so long, else the longest's.
std::string PlaceForDelay(const TopicPlan& plan, std::string_view group, absl::Duration delay);
// What all retry places of a topic and group start with, so that those of earlier plans are found; empty where names
// are cut (names.h).
std::string RetryPrefix(std::string_view topic, std::string_view group);
bool IsRetryPlaceOf(std::string_view name, std::string_view prefix);
bool IsDeadLetterPlace(std::string_view name);
// Of whichever group.
bool IsPlaceOf(std::string_view name, std::string_view topic);

// A place as a topic to be made. Dead letters: compacted by their own keys, so that a tombstone deletes one. Retries:
// kept a week, and longer than their delay.
NewTopic PlaceTopic(const KafkaOptions& options, const std::string& place);
// All places that `plan` needs.
std::vector<std::string> PlacesOf(const TopicPlan& plan, const std::string& group);

}  // namespace messaging::kafka

#endif  // KAFKA_PLACES_H_
