#include "messaging/broker/registry.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace messaging {
namespace {

using Entries = std::map<std::string, BrokerEntry>;

std::string Names(const Entries& entries) {
  return absl::StrJoin(entries, ", ", [](std::string* out, const auto& entry) { out->append(entry.first); });
}

std::string Schemes(const BrokerEntry& entry) {
  return absl::StrJoin(entry.schemes, ", ",
                       [](std::string* out, const std::string& scheme) { absl::StrAppend(out, scheme, "://"); });
}

bool Takes(const BrokerEntry& entry, const std::string& scheme) {
  return std::find(entry.schemes.begin(), entry.schemes.end(), scheme) != entry.schemes.end();
}

// A URL's scheme only: the rest may hold a password, and is the broker's to read.
absl::StatusOr<std::string> Scheme(const std::string& url) {
  const size_t end = url.find("://");
  if (end == std::string::npos || end == 0) {
    return absl::InvalidArgumentError("broker URL: it starts with a scheme and ://, as in sqlite:///var/lib/orders.db");
  }
  return absl::AsciiStrToLower(absl::CHexEscape(url.substr(0, end)));
}

// Those whose scheme is not their name.
std::string TargetOfScheme(const std::string& scheme) {
  if (scheme == "rediss") return "redis";
  if (scheme == "amqp" || scheme == "amqps") return "rabbitmq";
  return scheme;
}

absl::Status NoneLinked() {
  return absl::NotFoundError(
      "no broker is linked into this binary: add one of its targets, e.g. \"@core_messaging//sqlite\", to deps");
}

absl::Status NotLinked(std::string_view what, std::string_view target, const Entries& entries) {
  return absl::NotFoundError(absl::StrCat(what, " is not linked into this binary, which has ", Names(entries),
                                          ": a misspelling, or its target is missing in deps, as \"@core_messaging//",
                                          target, "\""));
}

}  // namespace

absl::Status Registry::Add(BrokerEntry entry) {
  absl::MutexLock lock(&mutex_);
  for (const auto& [name, other] : entries_) {
    if (name == entry.name) return absl::AlreadyExistsError(absl::StrCat("a broker named ", name, " is there already"));
    for (const std::string& scheme : entry.schemes) {
      if (Takes(other, scheme)) {
        return absl::AlreadyExistsError(
            absl::StrCat("brokers ", name, " and ", entry.name, " both take ", scheme, "://"));
      }
    }
  }
  std::string name = entry.name;
  entries_.emplace(std::move(name), std::move(entry));
  return absl::OkStatus();
}

absl::StatusOr<BrokerEntry> Registry::Find(const std::string& name, const std::string& url) const {
  absl::MutexLock lock(&mutex_);
  if (entries_.empty()) return NoneLinked();
  std::string scheme;
  if (!url.empty()) {
    absl::StatusOr<std::string> parsed = Scheme(url);
    if (!parsed.ok()) return parsed.status();
    scheme = *std::move(parsed);
  }
  if (!name.empty()) {
    const auto found = entries_.find(name);
    if (found == entries_.end()) {
      const std::string shown = absl::CHexEscape(name);
      return NotLinked(absl::StrCat("broker ", shown), shown, entries_);
    }
    if (!scheme.empty() && !Takes(found->second, scheme)) {
      return absl::InvalidArgumentError(absl::StrCat("broker ", name, " and a URL of scheme ", scheme,
                                                     ":// do not fit: it takes ", Schemes(found->second)));
    }
    return found->second;
  }
  if (!scheme.empty()) {
    for (const auto& [unused, entry] : entries_) {
      if (Takes(entry, scheme)) return entry;
    }
    return NotLinked(absl::StrCat("a broker for ", scheme, "://"), TargetOfScheme(scheme), entries_);
  }
  if (entries_.size() == 1) return entries_.begin()->second;
  return absl::InvalidArgumentError(
      absl::StrCat("several brokers are linked into this binary (", Names(entries_),
                   "): choose one by name or URL, in the options or by MESSAGING_BROKER or "
                   "MESSAGING_URL"));
}

std::vector<BrokerEntry> Registry::entries() const {
  absl::MutexLock lock(&mutex_);
  std::vector<BrokerEntry> all;
  for (const auto& [name, entry] : entries_) all.push_back(entry);
  return all;
}

Registry& Registry::Global() {
  static Registry* const registry = new Registry;
  return *registry;
}

bool RegisterBroker(BrokerEntry entry) {
  const absl::Status status = Registry::Global().Add(std::move(entry));
  if (status.ok()) return true;
  // Before main, so there is nobody to return it to, nor a log.
  std::fprintf(stderr, "error: linked brokers: %s\n", std::string(status.message()).c_str());
  std::_Exit(1);
}

}  // namespace messaging
