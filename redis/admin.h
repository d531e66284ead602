// What is on the server, for people: `core topics`, `core lag`, `core check`, `core tail`.
#ifndef REDIS_ADMIN_H_
#define REDIS_ADMIN_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/broker/admin.h"
#include "messaging/broker/broker.h"
#include "redis/connection.h"
#include "redis/letters.h"
#include "redis/redis_broker.h"

namespace messaging::redis {

// Each question has a connection of its own.
class RedisAdmin : public Admin {
 public:
  RedisAdmin(const RedisOptions& options, Connector connect) : options_(options), connect_(std::move(connect)) {}

  absl::StatusOr<std::vector<TopicInfo>> Topics(const std::string& topic) override;
  absl::Status Declare(const TopicDeclaration& declaration) override;
  absl::Status Remove(const std::string& topic) override;
  absl::StatusOr<std::vector<GroupLag>> Lag(const std::string& topic, const std::string& group) override;
  absl::StatusOr<std::vector<Finding>> Check(const std::string& group, const std::vector<TopicPlan>& topics) override;
  absl::Status Tail(const TailOptions& options, std::function<bool(const Record&)> visit,
                    std::function<bool()> stop) override;

 private:
  const RedisOptions& options_;
  const Connector connect_;
};

// The partitions that each topic has on the server, ascending; {-1}: it is one stream. `topic` empty: all of them.
absl::StatusOr<std::map<std::string, std::vector<int>>> FindTopics(Connection& connection, const RedisOptions& options,
                                                                   std::string_view topic);
// A group's figures in each of a topic's streams that has that group; `group` empty: each group's.
absl::StatusOr<std::vector<GroupLag>> LagOfTopic(Connection& connection, const RedisOptions& options,
                                                 const std::string& topic, const std::vector<int>& partitions,
                                                 std::string_view group);
// What weakens "an accepted message survives": of the server's settings, as far as it tells them.
std::vector<Finding> DurabilityFindings(Connection& connection, const RedisOptions& options);

}  // namespace messaging::redis

#endif  // REDIS_ADMIN_H_
