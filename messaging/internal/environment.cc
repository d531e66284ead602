#include "messaging/internal/environment.h"

#include <algorithm>
#include <cerrno>  // program_invocation_short_name
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "messaging/broker/url.h"
#include "messaging/message.h"

namespace messaging::internal {
namespace {

// A value and where it comes from, for errors.
struct Setting {
  std::string value;
  std::string source;
};

struct Choice {
  BrokerEntry entry;
  Setting url;
};

absl::Status At(const std::string& source, const absl::Status& status) {
  if (status.ok() || source.empty()) return status;
  return absl::Status(status.code(), absl::StrCat(source, ": ", status.message()));
}

std::string ValueOf(const GetVariable& variable, const std::string& name) {
  return name.empty() ? "" : variable(name.c_str()).value_or("");
}

// A broker's own variable may leave out the scheme, as KAFKA_BOOTSTRAP_SERVERS does.
std::string WithScheme(const BrokerEntry& entry, const std::string& url) {
  if (url.empty() || absl::StrContains(url, "://") || entry.schemes.empty()) return url;
  return absl::StrCat(entry.schemes[0], "://", url);
}

bool Takes(const BrokerEntry& entry, const std::string& url) {
  const std::string scheme = absl::AsciiStrToLower(url.substr(0, url.find("://")));
  return std::find(entry.schemes.begin(), entry.schemes.end(), scheme) != entry.schemes.end();
}

absl::StatusOr<Setting> ExplicitUrl(const ClientOptions& options) {
  if (options.bootstrap_servers.empty()) return Setting{options.url, options.url.empty() ? "" : "url"};
  if (!options.url.empty())
    return absl::InvalidArgumentError("url and bootstrap_servers are both set: give one of them");
  return Setting{absl::StrCat("kafka://", options.bootstrap_servers), "bootstrap_servers"};
}

// Nothing names a broker or a URL: the variables of the linked brokers may.
absl::StatusOr<Choice> ChooseByOwnVariable(const Registry& registry, const GetVariable& variable) {
  std::vector<BrokerEntry> set;
  for (BrokerEntry& entry : registry.entries()) {
    if (!ValueOf(variable, entry.environment).empty()) set.push_back(std::move(entry));
  }
  if (set.size() > 1) {
    auto names = [](std::string* out, const BrokerEntry& entry) { out->append(entry.environment); };
    return absl::InvalidArgumentError(absl::StrCat(absl::StrJoin(set, " and ", names),
                                                   " are set, each for a linked broker: choose one by MESSAGING_BROKER "
                                                   "or in the options"));
  }
  absl::StatusOr<BrokerEntry> entry = set.empty() ? registry.Find("", "") : std::move(set[0]);
  if (!entry.ok()) return entry.status();
  return Choice{*std::move(entry), {}};
}

absl::StatusOr<Choice> ChooseBroker(const ClientOptions& options, const Registry& registry,
                                    const GetVariable& variable) {
  absl::StatusOr<Setting> url = ExplicitUrl(options);
  if (!url.ok()) return url.status();
  Setting name = {options.broker, ""};
  if (name.value.empty() && url->value.empty()) {
    name = {ValueOf(variable, "MESSAGING_BROKER"), "MESSAGING_BROKER"};
    *url = {ValueOf(variable, "MESSAGING_URL"), "MESSAGING_URL"};
    if (name.value.empty() && url->value.empty()) return ChooseByOwnVariable(registry, variable);
  }
  absl::StatusOr<BrokerEntry> entry = registry.Find(name.value, url->value);
  if (!entry.ok()) return At(url->value.empty() ? name.source : url->source, entry.status());
  if (url->value.empty() && !options.broker.empty()) {
    std::string general = ValueOf(variable, "MESSAGING_URL");
    if (Takes(*entry, general)) *url = {std::move(general), "MESSAGING_URL"};
  }
  return Choice{*std::move(entry), *std::move(url)};
}

absl::Status CompleteUrl(Choice& choice, const GetVariable& variable) {
  const BrokerEntry& entry = choice.entry;
  if (choice.url.value.empty()) {
    choice.url = {WithScheme(entry, ValueOf(variable, entry.environment)), entry.environment};
  }
  if (choice.url.value.empty()) choice.url = {entry.default_url, ""};
  if (choice.url.value.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("broker ", entry.name, " needs a URL: in the options, or by MESSAGING_URL",
                     entry.environment.empty() ? "" : absl::StrCat(" or ", entry.environment)));
  }
  if (absl::Status status = Url::Parse(choice.url.value).status(); !status.ok()) return At(choice.url.source, status);
  if (!Takes(entry, choice.url.value)) {
    return At(choice.url.source,
              absl::InvalidArgumentError(absl::StrCat("broker ", entry.name, " does not take a URL of that scheme")));
  }
  return absl::OkStatus();
}

// The program's file name, made a valid group: nobody chose it as one.
std::string GroupOfProgram() {
  std::string group = program_invocation_short_name;
  if (group.size() > 120) group.resize(120);
  for (char& c : group) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '_' && c != '-') c = '-';
  }
  return IsValidTopic(group) ? group : "program";
}

absl::StatusOr<std::string> ChooseGroup(const ClientOptions& options, const GetVariable& variable) {
  std::string group = options.group;
  std::string source = "group";
  if (group.empty()) {
    group = ValueOf(variable, "MESSAGING_GROUP");
    source = "MESSAGING_GROUP";
  }
  if (group.empty()) return GroupOfProgram();
  if (IsValidTopic(group)) return group;
  return absl::InvalidArgumentError(absl::StrCat(
      source, ": a group is 1 to 120 characters out of A-Z a-z 0-9 . _ -, not starting with ", kReservedTopicPrefix));
}

}  // namespace

std::optional<std::string> ProcessVariable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

absl::StatusOr<ResolvedOptions> ResolveOptions(const ClientOptions& options, const Registry& registry,
                                               const GetVariable& variable) {
  absl::StatusOr<Choice> choice = ChooseBroker(options, registry, variable);
  if (!choice.ok()) return choice.status();
  if (absl::Status status = CompleteUrl(*choice, variable); !status.ok()) return status;
  absl::StatusOr<std::string> group = ChooseGroup(options, variable);
  if (!group.ok()) return group.status();
  const std::string program = program_invocation_short_name;
  return ResolvedOptions{
      .entry = std::move(choice->entry),
      .broker = {.url = std::move(choice->url.value),
                 .native = options.native,
                 .topics = options.topics,
                 .client_name = options.name.empty() ? program : absl::StrCat(program, "/", options.name),
                 .observer = options.observer},
      .group = *std::move(group)};
}

}  // namespace messaging::internal
