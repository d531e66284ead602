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
  size_t at = 0;
  for (int digit = 0; digit < 32; ++digit) {
    if (at == 8 || at == 13 || at == 18 || at == 23) ++at;
    const uint64_t half = digit < 16 ? high : low;
    id[at++] = "0123456789abcdef"[half >> (60 - 4 * (digit % 16)) & 0xf];
  }
  return id;
}

}  // namespace messaging::internal
