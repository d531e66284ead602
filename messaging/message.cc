#include "messaging/message.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace messaging {

size_t Message::ByteSize() const {
  size_t bytes = sizeof(Message) + topic.size() + payload.size() + content_type.size() + id.size();
  if (key) bytes += key->size();
  for (const Header& header : headers) bytes += sizeof(Header) + header.first.size() + header.second.size();
  return bytes;
}

bool IsValidTopic(const std::string& topic) {
  return !topic.empty() && topic.size() <= 120 && !absl::StartsWith(topic, kReservedTopicPrefix) &&
         std::all_of(topic.begin(), topic.end(),
                     [](unsigned char c) { return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-'; });
}

}  // namespace messaging
