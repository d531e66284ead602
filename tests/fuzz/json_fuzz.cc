// Any bytes as a JSON payload: decoded, or an error that says why; what was decoded is written and read again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "messaging/json/json.h"
#include "messaging/received.h"
#include "messaging/record.h"

namespace {

absl::Status Decode(std::string_view payload, nlohmann::json& out) {
  messaging::Record record;
  record.payload = payload;
  const messaging::Received received(&record, "g", "h", 1, 1, absl::InfiniteFuture());
  return messaging::Codec<nlohmann::json>::Decode(received, out);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  nlohmann::json json;
  if (!Decode({reinterpret_cast<const char*>(data), size}, json).ok()) return 0;
  messaging::Message message;
  if (!messaging::Codec<nlohmann::json>::Encode(json, message).ok()) return 0;
  nlohmann::json again;
  if (!Decode(message.payload, again).ok()) std::abort();
  return 0;
}
