#include "kafka/places.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "messaging/broker/names.h"
#include "messaging/message.h"

namespace messaging::kafka {
namespace {

constexpr absl::Duration kKept = absl::Hours(7 * 24);

// Of a retry place's name: the milliseconds at its end.
absl::Duration RungOf(const std::string& place) {
  int64_t milliseconds = 0;
  const size_t dot = place.rfind('.');
  if (dot == std::string::npos || !absl::SimpleAtoi(place.substr(dot + 1), &milliseconds)) return absl::Hours(24);
  return absl::Milliseconds(milliseconds);
}

}  // namespace

std::string ReplayPlace(std::string_view topic, std::string_view group) {
  return RetryPlace(topic, group, absl::ZeroDuration());
}

std::string PlaceForDelay(const TopicPlan& plan, std::string_view group, absl::Duration delay) {
  if (delay <= absl::ZeroDuration() || plan.retry_rungs.empty()) return ReplayPlace(plan.topic, group);
  auto rung = std::lower_bound(plan.retry_rungs.begin(), plan.retry_rungs.end(), delay);
  if (rung == plan.retry_rungs.end()) --rung;
  return RetryPlace(plan.topic, group, *rung);
}

std::string RetryPrefix(std::string_view topic, std::string_view group) {
  const std::string place = ReplayPlace(topic, group);
  return absl::EndsWith(place, ".0") ? place.substr(0, place.size() - 1) : "";
}

bool IsRetryPlaceOf(std::string_view name, std::string_view prefix) {
  if (prefix.empty() || !absl::ConsumePrefix(&name, prefix) || name.empty()) return false;
  return std::all_of(name.begin(), name.end(), [](unsigned char c) { return absl::ascii_isdigit(c); });
}

bool IsDeadLetterPlace(std::string_view name) {
  return IsInternalPlace(name) && absl::StartsWith(name, DeadLetterPlace("", "").substr(0, 16));
}

// names.h says how they are made; a topic is too short to be cut in one.
bool IsPlaceOf(std::string_view name, std::string_view topic) {
  if (!IsInternalPlace(name)) return false;
  for (const std::string_view kind : {"retry", "retry-long", "dead", "dead-long"}) {
    std::string_view rest = name;
    if (!absl::ConsumePrefix(&rest, absl::StrCat(kReservedTopicPrefix, kind, ".", topic.size()))) continue;
    if (absl::ConsumePrefix(&rest, "u")) {
      while (!rest.empty() && absl::ascii_isxdigit(static_cast<unsigned char>(rest[0]))) rest.remove_prefix(1);
    }
    return absl::StartsWith(rest, absl::StrCat(".", topic, "."));
  }
  return false;
}

NewTopic PlaceTopic(const KafkaOptions& options, const std::string& place) {
  NewTopic topic{.name = place};
  if (options.internal_replicas > 0) topic.replicas = options.internal_replicas;
  // A copy is larger than its original by some headers.
  int64_t largest = 1 << 20;
  const auto given = options.properties.find("message.max.bytes");
  if (given != options.properties.end()) (void)absl::SimpleAtoi(given->second, &largest);
  topic.settings["max.message.bytes"] = absl::StrCat(largest + (128 << 10));
  if (IsDeadLetterPlace(place)) {
    topic.partitions = 1;
    topic.settings["cleanup.policy"] = "compact";
  } else {
    topic.partitions = options.retry_partitions;
    topic.settings["retention.ms"] = absl::StrCat(absl::ToInt64Milliseconds(kKept + 4 * RungOf(place)));
  }
  return topic;
}

std::vector<std::string> PlacesOf(const TopicPlan& plan, const std::string& group) {
  std::vector<std::string> places = {ReplayPlace(plan.topic, group), DeadLetterPlace(plan.topic, group)};
  for (const absl::Duration rung : plan.retry_rungs) {
    std::string place = RetryPlace(plan.topic, group, rung);
    if (place != places[0]) places.push_back(std::move(place));
  }
  return places;
}

}  // namespace messaging::kafka
