#include "cli/json_check.h"

#include <cstddef>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/text.h"
#include "nlohmann/json.hpp"

namespace messaging::cli {
namespace {

// The parser's words without its own numbering and place, as " parse error at line 1, column 2: syntax error while
// ...".
std::string Why(std::string_view what) {
  const size_t column = what.find(", column ");
  const size_t text = column == std::string_view::npos ? column : what.find(": ", column);
  if (text != std::string_view::npos) what.remove_prefix(text + 2);
  return OneLine(what, 160);  // It quotes what it read, which may be all of a long line.
}

class Checker : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    status = absl::InvalidArgumentError(absl::StrCat("not JSON at byte ", position, ": ", Why(error.what())));
    return false;
  }
  absl::Status status;
};

}  // namespace

absl::Status CheckJson(std::string_view text) {
  // The parser takes it for the end of the text.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("not JSON at byte ", nul + 1, ": a zero byte"));
  }
  Checker checker;
  nlohmann::json::sax_parse(text.begin(), text.end(), &checker);
  return checker.status;
}

}  // namespace messaging::cli
