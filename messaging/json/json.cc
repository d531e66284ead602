#include "messaging/json/json.h"

#include <algorithm>
#include <cstddef>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

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

}  // namespace

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

}  // namespace internal
}  // namespace messaging
