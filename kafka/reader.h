// Reads partitions from one offset to another without any group, for people and programs that ask.
#ifndef KAFKA_READER_H_
#define KAFKA_READER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "kafka/handle.h"

namespace messaging::kafka {

struct Range {
  std::string topic;
  int32_t partition = 0;
  int64_t from = 0;
  int64_t to = 0;  // Not itself.
};

// Whether a broker answers within `limit`, and if it does not, why.
absl::Status Probe(const KafkaOptions& options, absl::Duration limit);

// Blocking, thread-safe.
class Reader {
 public:
  explicit Reader(std::shared_ptr<const KafkaOptions> options) : options_(std::move(options)) {}

  // For other questions; made when first asked for, kept as long as the reader.
  absl::StatusOr<rd_kafka_t*> handle();
  // All partitions of a topic with what they hold. NotFound: no such topic.
  absl::StatusOr<std::vector<Range>> Bounds(const std::string& topic);
  // The messages of all ranges, in order within each, until `visit` returns false or `stop` true. One whose `to` is
  // -1 goes on as messages come.
  absl::Status Read(const std::vector<Range>& ranges, const std::function<bool(const rd_kafka_message_t&)>& visit,
                    const std::function<bool()>& stop = nullptr);
  // The names of all topics, the library's own and the server's included.
  absl::StatusOr<std::vector<std::string>> TopicNames();

 private:
  absl::StatusOr<std::vector<Range>> BoundsOnce(const std::string& topic);

  const std::shared_ptr<const KafkaOptions> options_;
  absl::Mutex mutex_;
  Handle handle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace messaging::kafka

#endif  // KAFKA_READER_H_
