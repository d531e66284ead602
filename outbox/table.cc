#include "outbox/table.h"

#include <cstdint>
#include <utility>

#include "absl/status/status.h"

namespace messaging::outbox {
namespace {

void Append(std::string& packed, const std::string& text) {
  const auto size = static_cast<uint32_t>(text.size());
  for (int shift = 0; shift < 32; shift += 8) packed.push_back(static_cast<char>(size >> shift));
  packed += text;
}

bool Take(std::string_view& packed, std::string& text) {
  if (packed.size() < 4) return false;
  uint32_t size = 0;
  for (int i = 3; i >= 0; --i) size = size << 8 | static_cast<unsigned char>(packed[i]);
  packed.remove_prefix(4);
  if (packed.size() < size) return false;
  text = std::string(packed.substr(0, size));
  packed.remove_prefix(size);
  return true;
}

}  // namespace

std::string PackHeaders(const std::vector<Header>& headers) {
  std::string packed;
  for (const auto& [name, value] : headers) {
    Append(packed, name);
    Append(packed, value);
  }
  return packed;
}

absl::StatusOr<std::vector<Header>> UnpackHeaders(std::string_view packed) {
  std::vector<Header> headers;
  while (!packed.empty()) {
    Header header;
    if (!Take(packed, header.first) || !Take(packed, header.second)) {
      return absl::DataLossError("outbox: a message's headers are damaged");
    }
    headers.push_back(std::move(header));
  }
  return headers;
}

}  // namespace messaging::outbox
