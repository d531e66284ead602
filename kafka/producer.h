// Sends: handed to librdkafka where they are made, resolved in batches as it reports. An idempotent producer whose
// sequence breaks for good is replaced by a new one, which sends again what has no answer, in its order.
#ifndef KAFKA_PRODUCER_H_
#define KAFKA_PRODUCER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "kafka/handle.h"
#include "messaging/outgoing.h"

namespace messaging::kafka {

class Producer {
 public:
  // `handle` is the first one, from MakeProducerHandle.
  Producer(std::shared_ptr<const KafkaOptions> options, Handle handle);
  ~Producer();  // What is left resolves as unknown.
  static absl::StatusOr<Handle> MakeProducerHandle(const KafkaOptions& options);

  void Publish(OutgoingPtr message);  // Any thread.
  // Soon they will be sent to: that there are such topics is then known, and costs the first message nothing.
  void Expect(const std::vector<std::string>& topics);
  // For tests: as if the server had said that its sequence is broken.
  void BreakForTest();

 private:
  struct Sent {
    OutgoingPtr outgoing;
    uint64_t number = 0;  // In the order of the calls.
  };
  // A topic that this client makes: its messages wait until it is there.
  using Waiting = std::vector<std::unique_ptr<Sent>>;

  void Run();
  // OK: librdkafka has it. Else it is still in `sent`; Aborted: the next handle may take it.
  absl::Status Hand(std::unique_ptr<Sent>& sent) ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // The same, and the rest as well: refuses it, or keeps it for the next handle.
  void HandOrRefuse(std::unique_ptr<Sent> sent) ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void RefuseIfDenied(absl::Time now);
  bool AnythingWaits();
  void RefuseAll();
  void OnReports(rd_kafka_event_t* event);
  void OnReport(const rd_kafka_message_t& report);
  std::vector<std::string> WaitingTopics();
  void AskForTopics();
  bool HandWaiting(const std::string& topic, const absl::Status& made) ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void HandAgain();
  void Recover();
  static bool IsAcknowledged(const KafkaOptions& options);
  void Await(const std::string& topic, std::unique_ptr<Sent> sent) ABSL_EXCLUSIVE_LOCKS_REQUIRED(topics_mutex_);
  std::string TopicCure(const std::string& topic) const;

  const std::shared_ptr<const KafkaOptions> shared_options_;
  const KafkaOptions& options_;
  const bool acknowledged_;  // acks is not 0: who is accepted has an offset.
  Connectivity connectivity_;
  std::atomic<uint64_t> next_number_{0};
  std::atomic<bool> stopping_{false};
  absl::Mutex mutex_;  // Shared: handing over; exclusive: another handle.
  Handle handle_ ABSL_GUARDED_BY(mutex_);
  Queue events_ ABSL_GUARDED_BY(mutex_);

  absl::Mutex topics_mutex_;  // Taken after mutex_.
  absl::flat_hash_set<std::string> made_ ABSL_GUARDED_BY(topics_mutex_);
  absl::flat_hash_map<std::string, Waiting> waiting_ ABSL_GUARDED_BY(topics_mutex_);
  Waiting again_ ABSL_GUARDED_BY(topics_mutex_);  // What the next handle has to send first.
  std::atomic<bool> topics_wait_{false};

  absl::Duration ask_limit_;                       // Run's thread: for a topic to be made.
  absl::Time refuse_at_ = absl::InfiniteFuture();  // Run's thread: what waits, unless it is let in before.
  bool again_wait_ = false;                        // Run's thread: something of again_ can be sent at once.
  std::atomic<bool> broken_{false};                // A new handle is needed.
  std::thread thread_;
};

}  // namespace messaging::kafka

#endif  // KAFKA_PRODUCER_H_
