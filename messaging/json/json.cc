#include "messaging/json/json.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "messaging/provide.h"

namespace messaging {
namespace internal {
namespace {

// Deeper text is refused before it is parsed: what copies, compares or writes such a value recurses.
constexpr int kMaxDepth = 500;

bool IsJson(std::string_view content_type) {
  const std::string_view type = absl::StripAsciiWhitespace(content_type.substr(0, content_type.find(';')));
  return absl::EqualsIgnoreCase(type, "application/json") || absl::EqualsIgnoreCase(type, "text/json") ||
         absl::EndsWithIgnoreCase(type, "+json");
}

bool TooDeep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

// Its own text without "[json.exception.parse_error.101] ".
std::string_view TextOf(const std::exception& exception) {
  std::string_view text = exception.what();
  if (absl::StartsWith(text, "[json.exception.")) text.remove_prefix(std::min(text.size(), text.find("] ") + 2));
  return text;
}

// A parse error quotes the text that it is about, which may hold any bytes.
std::string Printable(std::string_view text) {
  std::string printable;
  for (char c : text) {
    if (absl::ascii_isprint(static_cast<unsigned char>(c))) {
      printable += c;
    } else {
      absl::StrAppend(&printable, "\\x", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return printable;
}

// nlohmann's own comparison takes -1 for the greatest unsigned number.
uint64_t Bits(const nlohmann::json& integer) {
  return integer.is_number_unsigned() ? integer.get<uint64_t>() : static_cast<uint64_t>(integer.get<int64_t>());
}

bool Same(const nlohmann::json& a, const nlohmann::json& b) {
  const auto negative = [](const nlohmann::json& n) { return !n.is_number_unsigned() && n.get<int64_t>() < 0; };
  return negative(a) == negative(b) && Bits(a) == Bits(b);
}

// What a conversion to a narrower type made of a number: the same low bits, or no fraction. What a type's own to_json
// writes differently for reasons of its own is another matter.
template <typename To>
bool IsCutTo(uint64_t bits, const nlohmann::json& is) {
  return Same(nlohmann::json(static_cast<To>(bits)), is);
}

bool IsCutInteger(const nlohmann::json& was, const nlohmann::json& is) {
  if (Same(was, is)) return false;
  const uint64_t bits = Bits(was);
  return IsCutTo<int8_t>(bits, is) || IsCutTo<uint8_t>(bits, is) || IsCutTo<int16_t>(bits, is) ||
         IsCutTo<uint16_t>(bits, is) || IsCutTo<int32_t>(bits, is) || IsCutTo<uint32_t>(bits, is) ||
         IsCutTo<int64_t>(bits, is) || IsCutTo<uint64_t>(bits, is);
}

bool IsCut(const nlohmann::json& was, const nlohmann::json& is) {
  if (!was.is_number_float()) return is.is_number_integer() && IsCutInteger(was, is);
  const double value = was.get<double>();
  if (is.is_number_float()) return std::isinf(is.get<double>()) && !std::isinf(value);
  if (!is.is_number_integer() || is == was) return false;
  // Beyond what the field holds the conversion gives the least or the greatest number, or anything.
  return is.get<double>() == std::trunc(value) || std::abs(value) >= std::numeric_limits<int32_t>::max();
}

// The way to the first number that was cut, as in "items[2].count"; empty: none was.
std::string FindCut(const nlohmann::json& was, const nlohmann::json& is, std::string way,
                    const nlohmann::json*& number) {
  if (was.is_number() && is.is_number()) {
    if (!IsCut(was, is)) return "";
    number = &was;
    return way.empty() ? "the number" : way;
  }
  if (was.is_object() && is.is_object()) {
    for (const auto& [name, value] : is.items()) {
      const auto found = was.find(name);
      if (found == was.end()) continue;
      std::string cut = FindCut(*found, value, way.empty() ? name : absl::StrCat(way, ".", name), number);
      if (!cut.empty()) return cut;
    }
  } else if (was.is_array() && is.is_array() && was.size() == is.size()) {
    for (size_t i = 0; i < was.size(); ++i) {
      std::string cut = FindCut(was[i], is[i], absl::StrCat(way, "[", i, "]"), number);
      if (!cut.empty()) return cut;
    }
  }
  return "";
}

}  // namespace

absl::Status CheckNumbers(const nlohmann::json& read, const nlohmann::json& again) {
  const nlohmann::json* number = nullptr;
  const std::string where = FindCut(read, again, "", number);
  if (where.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(Printable(where), ": ", number->dump(), " does not fit its field"));
}

absl::Status ParseJson(const Received& received, nlohmann::json& out) {
  if (const std::string_view type = received.content_type(); !type.empty() && !IsJson(type)) {
    return absl::UnimplementedError(absl::StrCat("content type ", Printable(type), " is not JSON"));
  }
  if (received.null_payload()) return absl::InvalidArgumentError("a null payload is not JSON");
  const std::string_view text = received.payload();
  if (TooDeep(text)) return absl::InvalidArgumentError(absl::StrCat("JSON more than ", kMaxDepth, " levels deep"));
  try {
    out = nlohmann::json::parse(text.begin(), text.end());
  } catch (const nlohmann::json::exception& exception) {
    return absl::InvalidArgumentError(Printable(TextOf(exception)));
  }
  return absl::OkStatus();
}

absl::Status DumpJson(const nlohmann::json& json, Message& out) {
  if (out.content_type.empty()) {
    out.content_type = std::string(Codec<nlohmann::json>::kContentType);
  } else if (!IsJson(out.content_type)) {
    return absl::InvalidArgumentError(
        absl::StrCat("JSON cannot be sent as ", Printable(out.content_type), ": send a string of bytes"));
  }
  try {
    out.payload = json.dump();
  } catch (const nlohmann::json::exception& exception) {
    return absl::InvalidArgumentError(TextOf(exception));
  }
  return absl::OkStatus();
}

absl::Status ConversionError(const std::exception& exception) {
  const std::string_view text = TextOf(exception);
  // nlohmann's words for json.at("order_id") on an object that has none.
  constexpr std::string_view kKey = "key '", kNotFound = "' not found";
  if (absl::StartsWith(text, kKey) && absl::EndsWith(text, kNotFound)) {
    const std::string_view key = text.substr(kKey.size(), text.size() - kKey.size() - kNotFound.size());
    return absl::InvalidArgumentError(absl::StrCat(key, ": missing"));
  }
  return absl::InvalidArgumentError(text);
}

MessageSchema JsonSchemaOf(const std::type_info& type, std::string schema) {
  const std::string name = TypeName(type);
  return {.name = name, .schemas = {{name, std::move(schema)}}};
}

}  // namespace internal
}  // namespace messaging
