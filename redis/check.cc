// RedisAdmin::Check: what would lose messages, or keep a service from working, looked at before it does.
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "redis/admin.h"
#include "redis/keys.h"

namespace messaging::redis {
namespace {

using Level = Finding::Level;

constexpr int kOldestServer = 7;

// "name:value" of INFO; empty where it is not told.
std::string InfoValue(std::string_view info, std::string_view name) {
  for (const std::string_view line : absl::StrSplit(info, absl::ByAnyChar("\r\n"))) {
    if (line.size() > name.size() && absl::StartsWith(line, name) && line[name.size()] == ':') {
      return std::string(line.substr(name.size() + 1));
    }
  }
  return "";
}

std::string Setting(Connection& connection, const RedisOptions& options, std::string_view name) {
  const absl::StatusOr<ReplyPtr> reply = Ask(connection, options, {"CONFIG", "GET", name});
  if (!reply.ok() || (*reply)->elements < 2) return "";
  return std::string(View(*(*reply)->element[1]));
}

void CheckServer(Connection& connection, const RedisOptions& options, std::vector<Finding>& findings) {
  const absl::Time before = absl::Now();
  const absl::StatusOr<ReplyPtr> reply = Ask(connection, options, {"INFO"});
  if (!reply.ok()) {
    findings.push_back({.level = Level::kWarning,
                        .subject = "server",
                        .message = absl::StrCat("does not tell its state: ", reply.status().message()),
                        .cure = "let the user call INFO: ACL SETUSER NAME +info"});
    return;
  }
  const std::string_view info = View(**reply);
  const std::string version = InfoValue(info, "redis_version");
  const std::string role = InfoValue(info, "role");
  int major = 0;
  (void)absl::SimpleAtoi(version.substr(0, version.find('.')), &major);
  Finding server{
      .subject = "server",
      .message = absl::StrCat(options.Address(), ", version ", version, ", answered in ",
                              absl::FormatDuration(absl::Trunc(absl::Now() - before, absl::Microseconds(1))))};
  if (major < kOldestServer) {
    server.level = Level::kError;
    server.cure = "streams with all that this needs came with Redis 7.0";
    server.expected = "7.0 or newer";
    server.found = version;
  }
  findings.push_back(std::move(server));
  if (role == "slave") {
    findings.push_back({.level = Level::kError,
                        .subject = "server",
                        .message = "is a replica: it takes no messages",
                        .cure = "name the primary in the URL",
                        .expected = "role:master",
                        .found = "role:slave"});
  }
  for (const char* name : {"rdb_last_bgsave_status", "aof_last_write_status"}) {
    const std::string value = InfoValue(info, name);
    if (value.empty() || value == "ok") continue;
    findings.push_back({.level = Level::kError,
                        .subject = "server",
                        .message = absl::StrCat(name, " is ", value, ": it cannot write to its disk"),
                        .cure = "look into the server's log and at the space on its disk"});
  }
}

// Asks for what changes nothing, but needs the right: an entry with the number 0-0 is always refused.
void CheckRight(Connection& connection, const RedisOptions& options, const std::string& subject, std::string_view what,
                const std::vector<std::string_view>& command, std::vector<Finding>& findings) {
  const absl::Status status = Ask(connection, options, command).status();
  Finding finding{.subject = subject};
  if (status.code() == absl::StatusCode::kPermissionDenied) {
    finding.level = Level::kError;
    finding.message = absl::StrCat("no right to ", what, ": ", status.message());
    finding.cure = "ACL SETUSER NAME ~TOPIC ~TOPIC/* ~{TOPIC}:* ~{TOPIC/*}:* +@all -@dangerous +info";
  } else if (status.code() == absl::StatusCode::kFailedPrecondition) {
    finding.level = Level::kError;
    finding.message = "the key holds something else than a stream";
    finding.cure = absl::StrCat("rename the topic, or delete the key ", command[1]);
    finding.expected = "stream";
    const absl::StatusOr<ReplyPtr> type = Ask(connection, options, {"TYPE", command[1]});
    if (type.ok()) finding.found = View(**type);
  } else {
    return;
  }
  findings.push_back(std::move(finding));
}

void CheckTopic(Connection& connection, const RedisOptions& options, const std::string& group, const std::string& topic,
                std::vector<Finding>& findings) {
  const std::string subject = absl::StrCat("topic ", topic);
  const size_t before = findings.size();
  const int wanted = options.PartitionsOf(topic);
  const std::string key = StreamKey(topic, wanted == 0 ? -1 : 0);
  CheckRight(connection, options, subject, "send", {"XADD", key, "NOMKSTREAM", "0-0", "probe", ""}, findings);
  if (!group.empty()) {
    const GroupKeys keys(topic, wanted == 0 ? -1 : 0, group);
    CheckRight(connection, options, subject, "consume", {"XPENDING", key, group}, findings);
    for (const std::string& place : {keys.retry, keys.dead}) {
      CheckRight(connection, options, subject, "keep retries and dead letters",
                 {"XADD", place, "NOMKSTREAM", "0-0", "probe", ""}, findings);
    }
  }
  const auto found = FindTopics(connection, options, topic);
  if (!found.ok() || findings.size() > before) return;  // What is wrong has been said.
  const auto at = found->find(topic);
  if (at == found->end()) {
    findings.push_back({.subject = subject, .message = "is not there yet: its first message or consumer makes it"});
    return;
  }
  const int there = at->second[0] < 0 ? 0 : static_cast<int>(at->second.size());
  if (there != wanted) {
    findings.push_back({.level = Level::kError,
                        .subject = subject,
                        .message = "has another number of partitions than is asked for: messages would be left aside",
                        .cure = "give all senders and consumers the same number",
                        .expected = absl::StrCat(wanted, " partitions"),
                        .found = absl::StrCat(there, " partitions")});
    return;
  }
  Finding finding{.subject = subject, .message = "is there"};
  if (!group.empty()) {
    const auto lag = LagOfTopic(connection, options, topic, at->second, group);
    int members = 0;
    for (const GroupLag& each : lag.ok() ? *lag : std::vector<GroupLag>{}) {
      members = std::max(members, each.members.value_or(0));
    }
    finding.message = !lag.ok() || lag->empty()
                          ? absl::StrCat("is there; group ", group, " begins with its first consumer")
                          : absl::StrCat("is there; group ", group, " has ", members, " consumers now");
  }
  findings.push_back(std::move(finding));
}

}  // namespace

std::vector<Finding> DurabilityFindings(Connection& connection, const RedisOptions& options) {
  std::vector<Finding> findings;
  const std::string appendonly = Setting(connection, options, "appendonly");
  const std::string appendfsync = Setting(connection, options, "appendfsync");
  const std::string policy = Setting(connection, options, "maxmemory-policy");
  if (appendonly.empty()) {
    findings.push_back({.subject = "durability",
                        .message = "unknown: the server does not tell its settings (CONFIG GET)",
                        .cure = "let the user call it: ACL SETUSER NAME +config|get"});
    return findings;
  }
  if (appendonly == "no") {
    findings.push_back(
        {.level = Level::kWarning,
         .subject = "durability",
         .message = "appendonly is no: what was accepted since the last snapshot is lost with the server",
         .cure = "CONFIG SET appendonly yes",
         .expected = "appendonly yes",
         .found = "appendonly no"});
  } else if (appendfsync != "always") {
    findings.push_back({.level = Level::kWarning,
                        .subject = "durability",
                        .message = absl::StrCat("appendfsync is ", appendfsync,
                                                ": the last accepted messages can be lost with the power"),
                        .cure = "CONFIG SET appendfsync always",
                        .expected = "appendfsync always",
                        .found = absl::StrCat("appendfsync ", appendfsync)});
  }
  if (policy != "noeviction" && !policy.empty() && !absl::StartsWith(policy, "volatile-")) {
    findings.push_back({.level = Level::kWarning,
                        .subject = "durability",
                        .message = absl::StrCat("maxmemory-policy is ", policy,
                                                ": the server may delete streams when its memory is full"),
                        .cure = "CONFIG SET maxmemory-policy noeviction",
                        .expected = "noeviction",
                        .found = policy});
  }
  if (findings.empty()) {
    findings.push_back({.subject = "durability",
                        .message = "an accepted message is on the server's disk (appendonly yes, appendfsync always)"});
  }
  return findings;
}

absl::StatusOr<std::vector<Finding>> RedisAdmin::Check(const std::string& group, const std::vector<TopicPlan>& topics) {
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect_();
  if (!connection.ok()) return connection.status();
  std::vector<Finding> findings;
  CheckServer(**connection, options_, findings);
  for (Finding& finding : DurabilityFindings(**connection, options_)) findings.push_back(std::move(finding));
  CheckRight(**connection, options_, "server", "run scripts, which retries and dead letters need",
             {"EVAL", "return 1", "0"}, findings);
  for (const TopicPlan& plan : topics) CheckTopic(**connection, options_, group, plan.topic, findings);
  return findings;
}

}  // namespace messaging::redis
