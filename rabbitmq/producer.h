// Sends: what was asked for meanwhile goes out together, and is answered by confirms.
#ifndef RABBITMQ_PRODUCER_H_
#define RABBITMQ_PRODUCER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "messaging/broker/io/loop.h"
#include "messaging/outgoing.h"
#include "rabbitmq/publisher.h"
#include "rabbitmq/rabbitmq_broker.h"

namespace messaging::rabbitmq {

// Opens a connection for a purpose; blocking.
using Connector = std::function<absl::StatusOr<std::unique_ptr<Connection>>(std::string_view purpose)>;

class Producer : public io::Loop::Source, private Publisher::Owner {
 public:
  Producer(io::Loop& loop, const RabbitmqOptions& options, Connector connect)
      : loop_(loop), options_(options), connect_(std::move(connect)), publisher_(*this) {}

  void Publish(OutgoingPtr message);  // Any thread.
  void DropAll();                     // Any thread, once the loop has ended: the rest resolves as unknown.

  void SayGoodbye();  // The loop's thread, before it ends.
  void Step(absl::Time now) override;
  absl::Time NextStep() override { return next_step_; }
  std::vector<io::Stream*> Streams() override;
  void OnLost(io::Stream* stream, const absl::Status& why) override;

 private:
  struct Topic {
    std::string exchange;
    std::vector<std::string> routing_keys;  // One, or one for each partition.
    uint32_t next = 0;                      // For messages without a key.
  };

  void OnConfirm(uint64_t number, const absl::Status& status) override;
  void OnRefused(const absl::Status& why) override;
  void Connect(absl::Time now);
  void TakeQueued();
  void RefuseAll(const absl::Status& why);
  void SendNext(absl::Time now);
  bool SendOne(const OutgoingPtr& outgoing);
  Topic& TopicOf(const std::string& name);
  bool IsCulprit(const Outgoing& outgoing, const absl::Status& why);
  void SendAllAgain();
  void ReturnAgain();
  void Complain(const absl::Status& why);

  io::Loop& loop_;
  const RabbitmqOptions& options_;
  const Connector connect_;
  absl::Mutex mutex_;
  std::vector<OutgoingPtr> queued_ ABSL_GUARDED_BY(mutex_);

  // The loop's thread only.
  Publisher publisher_;
  std::deque<OutgoingPtr> waiting_;  // To be sent, in order.
  std::deque<OutgoingPtr> asked_;    // Sent; null: answered.
  uint64_t first_ = 0;               // The number of asked_[0].
  size_t open_ = 0;                  // Of asked_, not answered.
  absl::Time asked_since_;           // When the last answer came, or the first was asked.
  // One was refused for a while: it and all that were on their way then, to be sent again in their order. Until the
  // last of them is answered nothing else is sent.
  std::vector<OutgoingPtr> again_;
  absl::flat_hash_map<std::string, Topic> topics_;
  io::Backoff backoff_;
  absl::Time next_step_ = absl::InfiniteFuture();
  absl::Time retry_at_ = absl::InfinitePast();
  absl::Time next_read_ = absl::InfinitePast();
  bool ready_ = false;  // The exchange is there.
  bool complained_ = false;
  bool blocked_ = false;
};

}  // namespace messaging::rabbitmq

#endif  // RABBITMQ_PRODUCER_H_
