#include "messaging/broker/url.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace messaging {
namespace {

absl::Status Malformed(std::string_view what) { return absl::InvalidArgumentError(absl::StrCat("broker URL: ", what)); }

bool IsScheme(std::string_view text) {
  return !text.empty() && absl::ascii_isalpha(static_cast<unsigned char>(text[0])) &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return absl::ascii_isalnum(c) || c == '+' || c == '-' || c == '.'; });
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

absl::Status Decode(std::string_view text, std::string_view what, std::string& out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    const int high = i + 2 < text.size() ? HexValue(text[i + 1]) : -1;
    const int low = high >= 0 ? HexValue(text[i + 2]) : -1;
    if (low < 0) return Malformed(absl::StrCat("a % in the ", what, " is not followed by two hexadecimal digits"));
    if (high == 0 && low == 0) return Malformed(absl::StrCat("the ", what, " holds %00"));
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return absl::OkStatus();
}

absl::Status ParseUser(std::string_view text, Url& url) {
  const size_t colon = text.find(':');
  if (colon != 0) {
    if (absl::Status status = Decode(text.substr(0, colon), "user", url.user.emplace()); !status.ok()) return status;
  }
  if (colon == std::string_view::npos) return absl::OkStatus();
  const std::string_view password = text.substr(colon + 1);
  if (absl::StrContains(password, ':')) return Malformed("a : in the password has to be written %3A");
  return Decode(password, "password", url.password.emplace());
}

// What stands for a port may be a piece of a password that was not encoded, so it is not shown.
absl::Status ParsePort(std::string_view text, Url::Host& host) {
  const bool digits = !text.empty() && text.size() <= 5 &&
                      std::all_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_isdigit(c); });
  if (!digits || !absl::SimpleAtoi(text, &host.port) || host.port < 1 || host.port > 65535) {
    return Malformed("a port is not a number from 1 to 65535 (in a password, : / ? # @ have to be percent-encoded)");
  }
  return absl::OkStatus();
}

absl::Status ParseHost(std::string_view text, Url::Host& host) {
  std::string_view rest;
  if (absl::StartsWith(text, "[")) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return Malformed("a [ without its ]");
    host.name = std::string(text.substr(1, end - 1));
    const bool address = absl::StrContains(host.name, ':') &&
                         std::all_of(host.name.begin(), host.name.end(),
                                     [](unsigned char c) { return absl::ascii_isxdigit(c) || c == ':' || c == '.'; });
    if (!address) return Malformed("between [ and ] goes an IPv6 address");
    rest = text.substr(end + 1);
    if (!rest.empty() && rest[0] != ':') return Malformed("after ] goes : and a port, or nothing");
  } else {
    const size_t colon = text.find(':');
    if (absl::Status status = Decode(text.substr(0, colon), "host", host.name); !status.ok()) return status;
    if (colon != std::string_view::npos) rest = text.substr(colon);
    if (absl::StrContains(rest.substr(rest.empty() ? 0 : 1), ':')) {
      return Malformed("several : in a host; an IPv6 address goes in [ ]");
    }
  }
  if (host.name.empty()) return Malformed("a host is missing");
  return rest.empty() ? absl::OkStatus() : ParsePort(rest.substr(1), host);
}

absl::Status ParseAuthority(std::string_view text, Url& url) {
  const size_t at = text.rfind('@');
  if (at != std::string_view::npos) {
    if (absl::StrContains(text.substr(0, at), '@')) return Malformed("an @ in user or password has to be written %40");
    if (absl::Status status = ParseUser(text.substr(0, at), url); !status.ok()) return status;
    text.remove_prefix(at + 1);
    if (text.empty()) return Malformed("a host is missing");
  }
  if (text.empty()) return absl::OkStatus();
  for (std::string_view host : absl::StrSplit(text, ',')) {
    if (absl::Status status = ParseHost(host, url.hosts.emplace_back()); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ParseQuery(std::string_view text, Url& url) {
  for (std::string_view part : absl::StrSplit(text, '&', absl::SkipEmpty())) {
    const size_t equals = part.find('=');
    auto& [name, value] = url.query.emplace_back();
    if (absl::Status status = Decode(part.substr(0, equals), "query", name); !status.ok()) return status;
    if (name.empty()) return Malformed("a query parameter has no name");
    if (equals == std::string_view::npos) continue;
    if (absl::Status status = Decode(part.substr(equals + 1), "query", value); !status.ok()) return status;
  }
  return absl::OkStatus();
}

std::string Encode(std::string_view text, std::string_view also_plain) {
  std::string encoded;
  for (const unsigned char c : text) {
    if (absl::ascii_isalnum(c) || absl::StrContains("-._~", c) || absl::StrContains(also_plain, c)) {
      encoded.push_back(static_cast<char>(c));
    } else {
      encoded.push_back('%');
      encoded.push_back("0123456789ABCDEF"[c >> 4]);
      encoded.push_back("0123456789ABCDEF"[c & 15]);
    }
  }
  return encoded;
}

std::string HostText(const Url::Host& host) {
  const std::string name =
      absl::StrContains(host.name, ':') ? absl::StrCat("[", host.name, "]") : Encode(host.name, "");
  return host.port == 0 ? name : absl::StrCat(name, ":", host.port);
}

}  // namespace

bool IsSecretName(std::string_view name) {
  const std::string lower = absl::AsciiStrToLower(name);
  for (const char* part : {"pass", "secret", "token", "jaas", "key.pem"}) {
    if (absl::StrContains(lower, part)) return true;
  }
  return false;
}

std::string Redact(std::string_view name, std::string_view value) {
  if (IsSecretName(name)) return "***";
  if (!absl::StrContains(value, "://")) return std::string(value);
  const absl::StatusOr<Url> url = Url::Parse(value);
  if (url.ok()) return url->Redacted();
  return absl::StrContains(value, '@') ? "***" : std::string(value);
}

absl::StatusOr<Url> Url::Parse(std::string_view text) {
  Url url;
  const size_t colon = text.find("://");
  if (colon == std::string_view::npos || !IsScheme(text.substr(0, colon))) {
    return Malformed("it starts with a scheme and ://, as in sqlite:///var/lib/orders.db");
  }
  if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_iscntrl(c); })) {
    return Malformed("it holds a control character, which has to be percent-encoded");
  }
  if (absl::StrContains(text, '#')) return Malformed("a # has to be written %23");
  url.scheme = absl::AsciiStrToLower(text.substr(0, colon));
  std::string_view rest = text.substr(colon + 3);
  const size_t authority_end = std::min(rest.find_first_of("/?"), rest.size());
  const std::string_view authority = rest.substr(0, authority_end);
  rest.remove_prefix(authority_end);
  // Else the beginning of a password with a / in it would be taken for a host, and be shown.
  if (!authority.empty() && !absl::StrContains(authority, '@') && absl::StrContains(rest, '@')) {
    return Malformed("an @ after a / or ?: in a password, / and ? have to be written %2F and %3F, elsewhere @ as %40");
  }
  if (absl::Status status = ParseAuthority(authority, url); !status.ok()) return status;
  const size_t path_end = std::min(rest.find('?'), rest.size());
  if (absl::Status status = Decode(rest.substr(0, path_end), "path", url.path); !status.ok()) return status;
  if (path_end < rest.size()) {
    if (absl::Status status = ParseQuery(rest.substr(path_end + 1), url); !status.ok()) return status;
  }
  return url;
}

std::optional<std::string_view> Url::Query(std::string_view name) const {
  for (auto it = query.rbegin(); it != query.rend(); ++it) {
    if (it->first == name) return it->second;
  }
  return std::nullopt;
}

std::string Url::FilePath() const {
  std::string file;
  for (const Host& host : hosts) {
    if (!file.empty()) file += ",";
    absl::StrAppend(&file, host.name, host.port == 0 ? "" : absl::StrCat(":", host.port));
  }
  return file + path;
}

std::string Url::Redacted() const {
  std::string text = absl::StrCat(scheme, "://");
  if (user || password) {
    absl::StrAppend(&text, user ? Encode(*user, "") : "", password ? ":***" : "", "@");
  }
  for (size_t i = 0; i < hosts.size(); ++i) absl::StrAppend(&text, i == 0 ? "" : ",", HostText(hosts[i]));
  text += Encode(path, "/:@,");
  for (size_t i = 0; i < query.size(); ++i) {
    const auto& [name, value] = query[i];
    absl::StrAppend(&text, i == 0 ? "?" : "&", Encode(name, ""), "=",
                    IsSecretName(name) ? "***" : Encode(Redact(name, value), "/:,*"));
  }
  return text;
}

}  // namespace messaging
