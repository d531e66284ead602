#include "cli/text.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace messaging::cli {
namespace {

// Bytes between the start of a multibyte character and its end; 0: no valid one starts here.
size_t Utf8Length(std::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  const auto tail = [&](size_t i) { return i < s.size() && (byte(i) & 0xC0) == 0x80; };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return tail(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (!tail(1) || !tail(2)) return 0;
    const bool overlong = lead == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = lead == 0xED && byte(1) >= 0xA0;
    return overlong || surrogate ? 0 : 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (!tail(1) || !tail(2) || !tail(3)) return 0;
    const bool overlong = lead == 0xF0 && byte(1) < 0x90;
    const bool beyond = lead == 0xF4 && byte(1) >= 0x90;
    return overlong || beyond ? 0 : 4;
  }
  return 0;
}

// C0 and C1 control characters, and DEL.
bool IsControl(std::string_view character) {
  const unsigned char lead = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return lead < 0x20 || lead == 0x7F;
  return lead == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0;
}

}  // namespace

bool IsUtf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t length = Utf8Length(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

size_t Width(std::string_view utf8) {
  return static_cast<size_t>(
      std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string OneLine(std::string_view bytes, size_t limit) {
  std::string line;
  for (size_t characters = 0; !bytes.empty(); ++characters) {
    if (characters == limit) return line + "...";
    const size_t length = Utf8Length(bytes);
    const std::string_view character = bytes.substr(0, std::max<size_t>(length, 1));
    if (length != 0 && !IsControl(character)) {
      line += character;
    } else {
      for (char c : character) line += absl::StrFormat("\\x%02x", static_cast<unsigned char>(c));
    }
    bytes.remove_prefix(character.size());
  }
  return line;
}

}  // namespace messaging::cli
