#include "messaging/internal/message_id.h"

#include <cstdint>

#include "absl/random/random.h"

namespace messaging::internal {

std::string NewMessageId(absl::Time now) {
  thread_local absl::BitGen random;
  const uint64_t version = 7;
  const uint64_t variant = 2;
  const uint64_t high = static_cast<uint64_t>(absl::ToUnixMillis(now)) << 16 | version << 12 |
                        absl::Uniform<uint64_t>(random, 0, uint64_t{1} << 12);
  const uint64_t low = variant << 62 | absl::Uniform<uint64_t>(random, 0, uint64_t{1} << 62);
  std::string id(36, '-');
  char* at = id.data();
  for (int byte = 0; byte < 16; ++byte) {
    if (byte == 4 || byte == 6 || byte == 8 || byte == 10) ++at;
    const uint64_t bits = (byte < 8 ? high : low) >> (56 - 8 * (byte % 8));
    *at++ = "0123456789abcdef"[bits >> 4 & 0xf];
    *at++ = "0123456789abcdef"[bits & 0xf];
  }
  return id;
}

}  // namespace messaging::internal
