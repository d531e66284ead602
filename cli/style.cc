#include "cli/style.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace messaging::cli {
namespace {

std::string_view Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

Style Style::For(const Output& out) {
  return Style(out.is_terminal() && Variable("NO_COLOR").empty() && Variable("TERM") != "dumb");
}

std::string Style::Paint(std::string_view code, std::string_view text) const {
  if (!on_ || text.empty()) return std::string(text);
  return absl::StrCat("\x1b[", code, "m", text, "\x1b[0m");
}

}  // namespace messaging::cli
