// Dead letters: looked at by people and programs, on connections of their own, blocking.
#ifndef RABBITMQ_LETTERS_H_
#define RABBITMQ_LETTERS_H_

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "messaging/broker/dead_letters.h"
#include "rabbitmq/management.h"
#include "rabbitmq/producer.h"
#include "rabbitmq/rabbitmq_broker.h"
#include "rabbitmq/wire.h"

namespace messaging::rabbitmq {

class Looker;

// Without the management API only those are found whose topic and group are named, or that this client consumes.
class Letters : public DeadLetters {
 public:
  Letters(const RabbitmqOptions& options, Connector connect)
      : options_(options), connect_(std::move(connect)), management_(options) {}

  // A topic and a group that this client consumes.
  void Know(const std::string& topic, const std::string& group);

  absl::Status List(const DeadLetterFilter& filter, std::function<bool(const DeadLetter&)> visit) override;
  absl::StatusOr<int64_t> Replay(const DeadLetterFilter& filter) override;
  absl::Status Import(const DeadLetter& letter) override;
  absl::StatusOr<int64_t> Purge(const DeadLetterFilter& filter) override;

 private:
  absl::StatusOr<std::vector<std::string>> Places(const DeadLetterFilter& filter);
  struct Found {
    std::unique_ptr<RabbitRecord> record;
    DeadLetter letter;
  };
  // `visit` may take what it is shown out of its looker.
  absl::Status ForEach(const DeadLetterFilter& filter,
                       const std::function<absl::StatusOr<bool>(Looker&, const Found&)>& visit);

  const RabbitmqOptions& options_;
  const Connector connect_;
  const Management management_;
  absl::Mutex mutex_;
  std::set<std::pair<std::string, std::string>> known_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace messaging::rabbitmq

#endif  // RABBITMQ_LETTERS_H_
