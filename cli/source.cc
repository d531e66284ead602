#include "cli/source.h"

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace messaging::cli {
namespace {

std::string Variable(const std::string& name) {
  const char* value = name.empty() ? nullptr : std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}

}  // namespace

std::string FileSource(const Config& config) { return absl::StrCat("file ", config.path); }

std::string Source(const std::string& flag, const std::string& taken, const std::vector<std::string>& variables,
                   const Config& config) {
  if (!flag.empty()) return "flag";
  if (!taken.empty()) return FileSource(config);
  for (const std::string& variable : variables) {
    if (!Variable(variable).empty()) return absl::StrCat("environment ", variable);
  }
  return "default";
}

std::vector<std::string> UrlVariables(const internal::ResolvedOptions& resolved) {
  std::vector<std::string> variables;
  for (const std::string& name : {std::string("MESSAGING_URL"), resolved.entry.environment}) {
    const std::string value = Variable(name);
    if (!value.empty() && absl::EndsWith(resolved.broker.url, value)) variables.push_back(name);
  }
  return variables;
}

std::string UrlSource(const ConnectionFlags& flags, const Config& config, const ClientOptions& options,
                      const internal::ResolvedOptions& resolved) {
  const bool by_flag = !flags.broker.empty() || !flags.url.empty();
  return Source(flags.url, by_flag ? "" : options.url, UrlVariables(resolved), config);
}

}  // namespace messaging::cli
