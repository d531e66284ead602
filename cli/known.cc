#include "cli/known.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/suggestion.h"

namespace messaging::cli {
namespace {

absl::Status CheckAmong(std::string_view what, const std::string& name, const std::vector<std::string>& names) {
  if (std::find(names.begin(), names.end(), name) != names.end()) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("no ", what, " ", name, " is known on this broker", DidYouMean(name, names)));
}

}  // namespace

absl::Status CheckKnown(Admin& admin, const std::string& topic, const std::string& group) {
  if (!topic.empty()) {
    const absl::StatusOr<std::vector<TopicInfo>> topics = admin.Topics("");
    std::vector<std::string> names;
    if (topics.ok()) {
      for (const TopicInfo& info : *topics) names.push_back(info.name);
      if (absl::Status known = CheckAmong("topic", topic, names); !known.ok()) return known;
    }
  }
  if (group.empty()) return absl::OkStatus();
  const absl::StatusOr<std::vector<std::string>> groups = admin.Groups();
  return groups.ok() ? CheckAmong("group", group, *groups) : absl::OkStatus();
}

}  // namespace messaging::cli
