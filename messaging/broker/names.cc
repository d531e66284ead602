#include "messaging/broker/names.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/numeric/int128.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "messaging/message.h"

namespace messaging {
namespace {

constexpr size_t kMaxName = 249;

// A bit for each '.' (0) and '_' (1), four to a digit; empty where there is no '_'.
std::string Underscores(std::string_view text) {
  std::string digits;
  int bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c != '.' && c != '_') continue;
    bits = bits << 1 | (c == '_' ? 1 : 0);
    if (++count < 4) continue;
    digits.push_back("0123456789abcdef"[bits]);
    bits = count = 0;
  }
  if (count > 0) digits.push_back("0123456789abcdef"[bits]);
  return std::any_of(digits.begin(), digits.end(), [](char c) { return c != '0'; }) ? "u" + digits : "";
}

// FNV-1a with 128 bits: the same on every machine, for good.
std::string Hash(std::string_view text) {
  const absl::uint128 prime = absl::MakeUint128(0x0000000001000000, 0x000000000000013B);
  absl::uint128 hash = absl::MakeUint128(0x6c62272e07bb0142, 0x62b821756295c58d);
  for (const unsigned char c : text) hash = (hash ^ c) * prime;
  return absl::StrCat(absl::Hex(absl::Uint128High64(hash), absl::kZeroPad16),
                      absl::Hex(absl::Uint128Low64(hash), absl::kZeroPad16));
}

std::string Place(std::string_view kind, std::string_view topic, std::string_view group, std::string_view end) {
  const std::string rest =
      absl::StrCat(".", topic.size(), Underscores(absl::StrCat(topic, group)), ".", topic, ".", group, end);
  std::string name = absl::StrCat(kReservedTopicPrefix, kind, rest);
  if (name.size() <= kMaxName) return name;
  const std::string hash = absl::StrCat(".", Hash(name));
  name = absl::StrCat(kReservedTopicPrefix, kind, "-long", rest);
  return absl::StrCat(std::string_view(name).substr(0, kMaxName - hash.size()), hash);
}

}  // namespace

std::string RetryPlace(std::string_view topic, std::string_view group, absl::Duration rung) {
  const int64_t milliseconds = absl::ToInt64Milliseconds(absl::Ceil(rung, absl::Milliseconds(1)));
  return Place("retry", topic, group, absl::StrCat(".", std::max<int64_t>(milliseconds, 0)));
}

std::string DeadLetterPlace(std::string_view topic, std::string_view group) { return Place("dead", topic, group, ""); }

bool IsInternalPlace(std::string_view name) { return absl::StartsWith(name, kReservedTopicPrefix); }

}  // namespace messaging
