#include "messaging/received.h"

namespace messaging {

std::optional<std::string_view> Received::header(std::string_view name) const {
  absl::Span<const HeaderView> all = headers();
  for (auto header = all.rbegin(); header != all.rend(); ++header) {
    if (header->name == name) return header->value;
  }
  return std::nullopt;
}

}  // namespace messaging
