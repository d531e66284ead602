#include "messaging/internal/complete_message.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "messaging/internal/message_id.h"

namespace messaging::internal {

absl::Status CheckMessage(const Message& message) {
  if (!IsValidTopic(message.topic)) {
    return absl::InvalidArgumentError(
        "a topic is 1 to 120 characters out of A-Z a-z 0-9 . _ -, not starting with __messaging.");
  }
  for (const Header& header : message.headers) {
    if (absl::StartsWith(header.first, "messaging-")) {
      return absl::InvalidArgumentError(
          absl::StrCat("header ", header.first, ": names starting with messaging- belong to the library"));
    }
  }
  return absl::OkStatus();
}

void CompleteMessage(SendOptions& options, absl::Time now, Message& message) {
  if (options.key) message.key = std::move(options.key);
  if (message.headers.empty()) {
    message.headers = std::move(options.headers);
  } else {
    std::move(options.headers.begin(), options.headers.end(), std::back_inserter(message.headers));
  }
  if (!options.content_type.empty()) message.content_type = std::move(options.content_type);
  if (!options.id.empty()) message.id = std::move(options.id);
  if (options.timestamp != absl::InfinitePast()) message.timestamp = options.timestamp;
  if (message.timestamp == absl::InfinitePast()) message.timestamp = now;
  if (message.id.empty()) message.id = NewMessageId(now);
}

}  // namespace messaging::internal
