// Admin: what people and programs ask of a cluster, on a client of its own, blocking. Nothing here joins a group.
#ifndef KAFKA_ADMIN_H_
#define KAFKA_ADMIN_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kafka/letters.h"
#include "kafka/producer.h"
#include "kafka/reader.h"
#include "messaging/broker/admin.h"

namespace messaging::kafka {

// What a group has committed in a partition.
struct Position {
  int64_t offset = 0;
  std::string metadata;
};
using Positions = std::map<std::pair<std::string, int32_t>, Position>;  // By topic and partition.

class KafkaAdmin : public Admin {
 public:
  KafkaAdmin(std::shared_ptr<const KafkaOptions> options, std::shared_ptr<Producer> producer)
      : options_(options), reader_(options), letters_(options, std::move(producer)) {}

  absl::StatusOr<std::vector<TopicInfo>> Topics(const std::string& topic) override;
  absl::StatusOr<std::vector<std::string>> Groups() override;  // Also those without a position, or of others' topics.
  absl::Status Declare(const TopicDeclaration& declaration) override;
  absl::Status Remove(const std::string& topic) override;
  absl::StatusOr<std::vector<GroupLag>> Lag(const std::string& topic, const std::string& group) override;
  absl::StatusOr<std::vector<Finding>> Check(const std::string& group, const std::vector<TopicPlan>& topics) override;
  absl::Status Tail(const TailOptions& options, std::function<bool(const Record&)> visit,
                    std::function<bool()> stop) override;

  // How many messages of the topic wait for the group.
  absl::StatusOr<int64_t> Backlog(const std::string& topic, const std::string& group);
  // What the server's settings mean for what it accepts (check.cc).
  std::vector<Finding> DurabilityFindings();

 private:
  using Settings = std::map<std::string, std::string>;

  // Sorted; without the library's and the server's own.
  absl::StatusOr<std::vector<std::string>> UserTopics(const std::string& topic);
  absl::StatusOr<Positions> PositionsOf(const std::string& group);
  absl::StatusOr<int> MembersOf(const std::string& group);
  absl::StatusOr<std::vector<GroupLag>> LagOf(const std::string& topic, const std::string& group,
                                              const Positions& positions);
  void AddRetries(const std::string& topic, const std::string& group, const Positions& positions, GroupLag& lag);
  absl::Status DeclareGroup(const std::string& topic, const std::string& group);
  absl::Status SetPositions(const std::string& group, const rd_kafka_topic_partition_list_t& positions);
  absl::Status DeleteTopics(const std::vector<std::string>& topics);
  // The topic and its groups' places, as far as they are there.
  absl::StatusOr<std::vector<std::string>> AllOf(const std::string& topic);
  // Of a topic, or of a broker by its number.
  absl::StatusOr<Settings> SettingsOf(bool topic, const std::string& name);
  void CheckTopic(const std::string& group, const TopicPlan& plan, std::vector<Finding>& findings);
  void CheckCluster(std::vector<Finding>& findings);

  const std::shared_ptr<const KafkaOptions> options_;
  Reader reader_;
  Letters letters_;
};

}  // namespace messaging::kafka

#endif  // KAFKA_ADMIN_H_
