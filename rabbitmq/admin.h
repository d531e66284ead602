// What is on the server, for people: `core topics`, `core lag`, `core check`, `core tail`.
#ifndef RABBITMQ_ADMIN_H_
#define RABBITMQ_ADMIN_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/broker/admin.h"
#include "messaging/broker/broker.h"
#include "rabbitmq/channel.h"
#include "rabbitmq/management.h"
#include "rabbitmq/producer.h"
#include "rabbitmq/rabbitmq_broker.h"

namespace messaging::rabbitmq {

// Each question has a connection of its own. What AMQP does not tell comes from the management API; without it, it says
// so.
class RabbitmqAdmin : public Admin {
 public:
  RabbitmqAdmin(const RabbitmqOptions& options, Connector connect)
      : options_(options), connect_(std::move(connect)), management_(options) {}

  absl::StatusOr<std::vector<TopicInfo>> Topics(const std::string& topic) override;
  absl::Status Declare(const TopicDeclaration& declaration) override;
  absl::Status Remove(const std::string& topic) override;
  absl::StatusOr<std::vector<GroupLag>> Lag(const std::string& topic, const std::string& group) override;
  absl::StatusOr<std::vector<Finding>> Check(const std::string& group, const std::vector<TopicPlan>& topics) override;
  absl::Status Tail(const TailOptions& options, std::function<bool(const Record&)> visit,
                    std::function<bool()> stop) override;

 private:
  // A group's queue.
  struct Place {
    std::string topic, group;
    int partition = -1;
    bool operator<(const Place& other) const {
      return std::tie(topic, group, partition) < std::tie(other.topic, other.group, other.partition);
    }
  };
  struct Listed {
    std::map<std::string, nlohmann::json> queues;  // All of the virtual host, by name.
    std::vector<Place> places;                     // The groups' ones that were asked for.
  };
  absl::StatusOr<std::unique_ptr<Connection>> Connect();
  absl::StatusOr<Listed> ListPlaces(const std::string& topic, const std::string& group);
  absl::Status DeclareGroup(Connection& connection, const std::string& topic, const std::string& group, int partition);
  absl::Status AddRetries(Connection& connection, const Listed& listed, const std::string& queue, GroupLag& lag);
  void CheckServer(Connection& connection, absl::Duration took, std::vector<Finding>& findings);
  void CheckQueue(Connection& connection, const std::string& group, const std::string& topic, int partition,
                  std::vector<Finding>& findings);

  const RabbitmqOptions& options_;
  const Connector connect_;
  const Management management_;
};

}  // namespace messaging::rabbitmq

#endif  // RABBITMQ_ADMIN_H_
