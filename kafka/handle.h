// librdkafka's objects as C++ ones, its configuration from ours, its errors as statuses.
#ifndef KAFKA_HANDLE_H_
#define KAFKA_HANDLE_H_

#include <librdkafka/rdkafka.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kafka/kafka_broker.h"

namespace messaging::kafka {

template <auto destroy>
struct Destroyer {
  template <typename T>
  void operator()(T* object) const {
    destroy(object);
  }
};
using PartitionList =
    std::unique_ptr<rd_kafka_topic_partition_list_t, Destroyer<rd_kafka_topic_partition_list_destroy>>;
using Queue = std::unique_ptr<rd_kafka_queue_t, Destroyer<rd_kafka_queue_destroy>>;
using Event = std::unique_ptr<rd_kafka_event_t, Destroyer<rd_kafka_event_destroy>>;
using Error = std::unique_ptr<rd_kafka_error_t, Destroyer<rd_kafka_error_destroy>>;
using Metadata = std::unique_ptr<const rd_kafka_metadata_t, Destroyer<rd_kafka_metadata_destroy>>;
using Handle = std::unique_ptr<rd_kafka_t, Destroyer<rd_kafka_destroy>>;

// A producer or consumer, whose events of the given kinds (RD_KAFKA_EVENT_...) come to its queue. `own` overrides what
// the user set. Its log lines go to messaging/log.h. InvalidArgument: a property or its value.
absl::StatusOr<Handle> MakeHandle(rd_kafka_type_t type, const KafkaOptions& options,
                                  const std::map<std::string, std::string>& own, int events);

// `what` was asked of the server: "topic orders.created".
absl::Status StatusOf(rd_kafka_resp_err_t error, const KafkaOptions& options, const std::string& what = "",
                      const char* detail = nullptr);

// Turns librdkafka's many errors about brokers that are away into one line when all are, and one when one is back.
// Used by one thread.
class Connectivity {
 public:
  explicit Connectivity(const KafkaOptions& options) : options_(options) {}
  void OnError(rd_kafka_resp_err_t error, const char* reason);
  void OnProgress();  // The server has answered.
  // What stands in the way, when it is nothing that passes by itself (wrong password, wrong certificate).
  const absl::Status& denied() const { return denied_; }

 private:
  void Tell(Observer::Connection state, const std::string& what);
  const KafkaOptions& options_;
  bool connected_ = false;
  bool lost_ = false;
  absl::Status denied_;
};

// Blocking questions; any thread.

// All topics, or one. A topic that is not there is in the answer with its error.
absl::StatusOr<Metadata> AskMetadata(rd_kafka_t* handle, const KafkaOptions& options, const std::string* topic,
                                     absl::Duration limit);
struct NewTopic {
  std::string name;
  int partitions = -1;  // -1: the server's default.
  int replicas = -1;
  std::map<std::string, std::string> settings;
};
// OK also for those that are there.
absl::Status CreateTopics(rd_kafka_t* handle, const KafkaOptions& options, const std::vector<NewTopic>& topics,
                          absl::Duration limit);
// Until the handle knows of each, and the leader of each partition answers for it; false: not within `limit`.
// librdkafka itself looks once a second. What is sent before the leader is ready may be refused while what is sent
// behind it is taken, and then counts as a repetition.
bool AwaitTopics(rd_kafka_t* handle, const KafkaOptions& options, const std::vector<NewTopic>& topics,
                 absl::Duration limit);
bool IsUsable(const rd_kafka_metadata_topic_t& topic);
// As the client's options describe it, or by the server's defaults.
NewTopic DescribeTopic(const KafkaOptions& options, const std::string& topic);
// An admin request: `ask` sends it with its options and answers to the queue; the event has no error.
absl::StatusOr<Event> AskAdmin(rd_kafka_t* handle, const KafkaOptions& options, rd_kafka_admin_op_t kind,
                               absl::Duration limit,
                               const std::function<void(rd_kafka_AdminOptions_t*, rd_kafka_queue_t*)>& ask);

}  // namespace messaging::kafka

#endif  // KAFKA_HANDLE_H_
