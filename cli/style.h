// Colours for people.
#ifndef CLI_STYLE_H_
#define CLI_STYLE_H_

#include <string>
#include <string_view>

#include "cli/output.h"

namespace messaging::cli {

// On: only where `out` is a terminal that is not dumb, and NO_COLOR is not set (no-color.org). Off, text stays as it
// is.
class Style {
 public:
  explicit Style(bool on) : on_(on) {}
  static Style For(const Output& out);

  bool on() const { return on_; }
  std::string Red(std::string_view text) const { return Paint("31", text); }
  std::string Green(std::string_view text) const { return Paint("32", text); }
  std::string Yellow(std::string_view text) const { return Paint("33", text); }
  std::string Bold(std::string_view text) const { return Paint("1", text); }
  std::string Dim(std::string_view text) const { return Paint("2", text); }

 private:
  std::string Paint(std::string_view code, std::string_view text) const;
  const bool on_;
};

}  // namespace messaging::cli

#endif  // CLI_STYLE_H_
