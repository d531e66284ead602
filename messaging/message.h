// A message as a service sends it, and as the send options describe it.
#ifndef MESSAGING_MESSAGE_H_
#define MESSAGING_MESSAGE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace messaging {

// Name and value, any bytes each. Names may repeat; their order is kept.
using Header = std::pair<std::string, std::string>;

// What goes to a broker. All strings are bytes; only `topic` is limited: [A-Za-z0-9._-]{1,120}.
struct Message {
  std::string topic;
  std::string payload;
  bool null_payload = false;       // A payload that is absent, not empty: a tombstone where the broker knows them.
  std::optional<std::string> key;  // Messages of one key are handled in order; no key, no order.
  std::vector<Header> headers;     // Names starting with "messaging-" belong to the library and are refused.
  std::string content_type;        // "application/json", ...; empty: the handler's default applies.
  std::string id;                  // Idempotency key. Empty: Send makes a random one.
  absl::Time timestamp = absl::InfinitePast();  // When it happened. InfinitePast: the time of Send.

  // What it counts for in a budget of bytes: all of the above plus a fixed overhead.
  size_t ByteSize() const;
};

// Names of the library's own places at a broker (broker/names.h) start so.
inline constexpr char kReservedTopicPrefix[] = "__messaging.";

// Whether it can name a topic or a group: [A-Za-z0-9._-]{1,120}, without the reserved prefix.
bool IsValidTopic(const std::string& topic);

}  // namespace messaging

#endif  // MESSAGING_MESSAGE_H_
