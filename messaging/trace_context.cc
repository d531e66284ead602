#include "messaging/trace_context.h"

#include <algorithm>
#include <cstddef>
#include <set>

#include "absl/random/random.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace messaging {
namespace {

constexpr std::string_view kTraceParent = "traceparent";
constexpr std::string_view kTraceState = "tracestate";
constexpr size_t kMaxEntries = 32;

int HexDigit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

// Lower case only. False: some other character.
template <size_t kSize>
bool ParseHex(std::string_view text, std::array<uint8_t, kSize>& out) {
  for (size_t i = 0; i < kSize; ++i) {
    const int high = HexDigit(text[2 * i]), low = HexDigit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return true;
}

template <size_t kSize>
std::string Hex(const std::array<uint8_t, kSize>& bytes) {
  return absl::BytesToHexString(std::string_view(reinterpret_cast<const char*>(bytes.data()), kSize));
}

template <size_t kSize>
bool IsZero(const std::array<uint8_t, kSize>& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}

// Never all zeros, which means none.
template <size_t kSize>
std::array<uint8_t, kSize> RandomId() {
  static thread_local absl::BitGen random;
  std::array<uint8_t, kSize> id;
  do {
    for (uint8_t& byte : id) byte = absl::Uniform<uint8_t>(random);
  } while (IsZero(id));
  return id;
}

bool IsKey(std::string_view key) {
  const auto lower_or_digit = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const auto part = [&](std::string_view text, size_t most) {
    return !text.empty() && text.size() <= most && std::all_of(text.begin(), text.end(), [&](char c) {
      return lower_or_digit(c) || c == '_' || c == '-' || c == '*' || c == '/';
    });
  };
  const size_t at = key.find('@');
  if (at == key.npos) return part(key, 256) && key[0] >= 'a' && key[0] <= 'z';
  const std::string_view tenant = key.substr(0, at), system = key.substr(at + 1);
  return part(tenant, 241) && lower_or_digit(tenant[0]) && part(system, 14) && system[0] >= 'a' && system[0] <= 'z';
}

bool IsValue(std::string_view value) {
  return !value.empty() && value.size() <= 256 && value.back() != ' ' &&
         std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c <= 0x7e && c != ',' && c != '='; });
}

// The list's entries, without the empty ones that are allowed in between; empty: it is not valid.
std::string ParseState(absl::Span<const std::string_view> lists) {
  std::string state;
  std::set<std::string_view> keys;
  for (const std::string_view list : lists) {
    for (std::string_view entry : absl::StrSplit(list, ',')) {
      const size_t from = entry.find_first_not_of(" \t");
      if (from == entry.npos) continue;
      entry = entry.substr(from, entry.find_last_not_of(" \t") - from + 1);
      const size_t equals = entry.find('=');
      if (equals == entry.npos || !IsKey(entry.substr(0, equals)) || !IsValue(entry.substr(equals + 1))) return "";
      if (!keys.insert(entry.substr(0, equals)).second || keys.size() > kMaxEntries) return "";
      absl::StrAppend(&state, state.empty() ? "" : ",", entry);
    }
  }
  return state;
}

template <typename Headers, typename NameOf, typename ValueOf>
std::optional<TraceContext> FromHeaders(const Headers& headers, NameOf name, ValueOf value) {
  std::string_view parent;
  std::vector<std::string_view> states;
  int parents = 0;
  for (const auto& header : headers) {
    if (absl::EqualsIgnoreCase(name(header), kTraceParent)) {
      parent = value(header);
      ++parents;
    } else if (absl::EqualsIgnoreCase(name(header), kTraceState)) {
      states.push_back(value(header));
    }
  }
  if (parents != 1) return std::nullopt;
  return TraceContext::Parse(parent, states);
}

}  // namespace

std::optional<TraceContext> TraceContext::Parse(std::string_view traceparent,
                                                absl::Span<const std::string_view> tracestates) {
  // version "-" trace-id "-" parent-id "-" flags
  constexpr size_t kSize = 55;
  std::array<uint8_t, 1> version, flags;
  TraceContext context;
  if (traceparent.size() < kSize || traceparent[2] != '-' || traceparent[35] != '-' || traceparent[52] != '-') {
    return std::nullopt;
  }
  const bool hex = ParseHex(traceparent.substr(0, 2), version) &&
                   ParseHex(traceparent.substr(3, 32), context.trace_id) &&
                   ParseHex(traceparent.substr(36, 16), context.span_id) && ParseHex(traceparent.substr(53, 2), flags);
  if (!hex || version[0] == 0xff || IsZero(context.trace_id) || IsZero(context.span_id)) return std::nullopt;
  if (traceparent.size() > kSize && (version[0] == 0 || traceparent[kSize] != '-')) return std::nullopt;
  context.sampled = (flags[0] & 1) != 0;
  context.state = ParseState(tracestates);
  return context;
}

TraceContext TraceContext::NewTrace(bool sampled) {
  return {.trace_id = RandomId<16>(), .span_id = RandomId<8>(), .sampled = sampled, .state = ""};
}

TraceContext TraceContext::Child() const {
  TraceContext child = *this;
  child.span_id = RandomId<8>();
  return child;
}

std::string TraceContext::traceparent() const {
  return absl::StrCat("00-", Hex(trace_id), "-", Hex(span_id), sampled ? "-01" : "-00");
}
std::string TraceContext::trace_id_hex() const { return Hex(trace_id); }
std::string TraceContext::span_id_hex() const { return Hex(span_id); }

std::optional<TraceContext> TraceContextOf(const Received& received) {
  return FromHeaders(
      received.headers(), [](const HeaderView& header) { return header.name; },
      [](const HeaderView& header) { return header.value; });
}

std::optional<TraceContext> TraceContextOf(const std::vector<Header>& headers) {
  return FromHeaders(
      headers, [](const Header& header) { return std::string_view(header.first); },
      [](const Header& header) { return std::string_view(header.second); });
}

void SetTraceContext(const TraceContext& context, std::vector<Header>& headers) {
  std::erase_if(headers, [](const Header& header) {
    return absl::EqualsIgnoreCase(header.first, kTraceParent) || absl::EqualsIgnoreCase(header.first, kTraceState);
  });
  headers.emplace_back(kTraceParent, context.traceparent());
  if (!context.state.empty()) headers.emplace_back(kTraceState, context.state);
}

}  // namespace messaging
