#include "redis/keys.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "messaging/broker/names.h"

namespace messaging::redis {

std::string StreamKey(std::string_view topic, int partition) {
  return partition < 0 ? std::string(topic) : absl::StrCat(topic, "/", partition);
}

GroupKeys::GroupKeys(std::string_view topic, int partition, std::string_view group)
    : stream(StreamKey(topic, partition)) {
  const std::string tag = absl::StrCat("{", stream, "}:");
  retry = absl::StrCat(tag, RetryPlace(topic, group, absl::ZeroDuration()));
  due = absl::StrCat(retry, ":due");
  held = absl::StrCat(retry, ":held");
  begun = absl::StrCat(retry, ":begun");
  owner = absl::StrCat(retry, ":owner");
  dead = absl::StrCat(tag, DeadLetterPlace(topic, group));
}

MemberKeys::MemberKeys(std::string_view topic, std::string_view group) {
  const std::string place = absl::StrCat("{", topic, "}:", RetryPlace(topic, group, absl::ZeroDuration()));
  alive = absl::StrCat(place, ":alive");
  active = absl::StrCat(place, ":active");
}

}  // namespace messaging::redis
