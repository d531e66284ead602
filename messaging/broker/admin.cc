#include "messaging/broker/admin.h"

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/broker/broker.h"

namespace messaging {
namespace {

absl::Status Cannot(const char* what) {
  return absl::UnimplementedError(std::string("this broker cannot tell ") + what);
}

}  // namespace

absl::StatusOr<std::vector<TopicInfo>> Admin::Topics(const std::string&) { return Cannot("its topics"); }

absl::StatusOr<std::vector<std::string>> Admin::Groups() {
  const absl::StatusOr<std::vector<TopicInfo>> topics = Topics("");
  if (!topics.ok()) return topics.status();
  std::set<std::string> groups;
  for (const TopicInfo& topic : *topics) groups.insert(topic.groups.begin(), topic.groups.end());
  return std::vector<std::string>(groups.begin(), groups.end());
}

absl::Status Admin::Declare(const TopicDeclaration&) {
  return absl::UnimplementedError("this broker cannot declare topics");
}

absl::Status Admin::Remove(const std::string&) { return absl::UnimplementedError("this broker cannot delete topics"); }

absl::StatusOr<std::vector<GroupLag>> Admin::Lag(const std::string&, const std::string&) { return Cannot("its lag"); }

absl::StatusOr<std::vector<Finding>> Admin::Check(const std::string&, const std::vector<TopicPlan>&) {
  return Cannot("its state");
}

absl::Status Admin::Tail(const TailOptions&, std::function<bool(const Record&)>, std::function<bool()>) {
  return absl::UnimplementedError("this broker cannot show messages without a group");
}

Admin& Broker::admin() {
  static Admin* const none = new Admin;
  return *none;
}

}  // namespace messaging
