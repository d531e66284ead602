// Sends: what was asked for meanwhile goes out in one pipeline, and is answered in its order. What had no answer when a
// connection was lost is looked for at the streams' ends, and only what is not there is sent again.
#ifndef REDIS_PRODUCER_H_
#define REDIS_PRODUCER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "messaging/broker/io/loop.h"
#include "messaging/outgoing.h"
#include "redis/connection.h"
#include "redis/redis_broker.h"

namespace messaging::redis {

// The stream's number for a key: FNV-1a with 64 bits, modulo `partitions`. Every sender has to do the same.
int PartitionOf(std::string_view key, int partitions);

class Producer : public io::Loop::Source {
 public:
  // `loop` and `options` outlive it.
  Producer(io::Loop& loop, const RedisOptions& options, Connector connect)
      : loop_(loop), options_(options), connect_(std::move(connect)) {}

  void Publish(OutgoingPtr message);  // Any thread.
  void DropAll();                     // Any thread, once the loop has ended: the rest resolves as unknown.

  void Step(absl::Time now) override;
  absl::Time NextStep() override { return next_step_; }
  std::vector<io::Stream*> Streams() override;
  void OnLost(io::Stream* stream, const absl::Status& why) override;
  void AfterRead() override;

 private:
  enum class Kind { kSend, kWait, kTrim, kSearch };
  struct Stream {
    std::string key;
    std::string last = "-";  // The last entry of ours that was answered, "(ID".
    int searched = 0;        // Pages.
  };
  struct Asked {
    Kind kind = Kind::kSend;
    OutgoingPtr outgoing;      // kSend.
    Stream* stream = nullptr;  // kSend, kSearch.
  };
  struct Doubt {
    OutgoingPtr outgoing;
    Stream* stream;
    bool stored = false;
  };
  struct Topic {
    std::vector<Stream> streams;  // One, or one for each partition.
    uint32_t next = 0;            // For messages without a key.
  };

  void SendWaiting(absl::Time now);
  void OnReply(ReplyPtr reply);
  void Connect(absl::Time now);
  void TakeQueued();
  void RefuseAll(const absl::Status& why);
  void SendNext();
  void Append(const Outgoing& outgoing, const Stream& stream);
  Stream& StreamFor(const Message& message);
  void AskSearch();
  void AskPage(Stream& stream, std::string_view before);
  void OnPage(Stream& stream, const redisReply& reply);
  void EndSearch();
  void Answer(OutgoingPtr outgoing, const redisReply& reply);
  void AnswerWait(const redisReply& reply);
  void ReturnAgain();
  void AskTrim(absl::Time now);
  void Complain(const absl::Status& why);

  io::Loop& loop_;
  const RedisOptions& options_;
  const Connector connect_;
  absl::Mutex mutex_;
  std::vector<OutgoingPtr> queued_ ABSL_GUARDED_BY(mutex_);
  bool answers_come_ ABSL_GUARDED_BY(mutex_) = false;  // The loop comes by anyway.

  // The loop's thread only.
  std::unique_ptr<Connection> connection_;
  std::vector<OutgoingPtr> taken_;                            // Empty: room that is used again.
  std::deque<OutgoingPtr> waiting_;                           // To be sent, in order.
  std::deque<Asked> asked_;                                   // Sent and not answered.
  absl::Time asked_since_;                                    // When the last answer came, or the first was asked.
  std::deque<std::pair<OutgoingPtr, ReplyPtr>> unconfirmed_;  // With wait_replicas: until replicas have it.
  // One was refused for a while: it and all that were on their way then, to be sent again in their order. Until the
  // last of them is answered nothing else is sent.
  std::vector<OutgoingPtr> again_;
  // Sent on a connection that was lost, not answered; nothing else is sent until each was looked for.
  std::vector<Doubt> doubts_;
  absl::flat_hash_map<std::string_view, std::vector<size_t>> doubts_by_id_;  // While it is searched.
  size_t page_ = 0;                                                          // Entries at a time.
  // One message alone, until the server takes it: of a pipeline that it refuses (LOADING) and then takes in the middle,
  // what it took would have to be sent again to stay behind what it refused.
  bool probing_ = true;
  bool search_again_ = false;  // The server could not answer now.
  absl::flat_hash_map<std::string, Topic> topics_;
  io::Backoff backoff_;
  absl::Time next_step_ = absl::InfiniteFuture();
  absl::Time retry_at_ = absl::InfinitePast();
  absl::Time next_trim_ = absl::InfinitePast();
  bool complained_ = false;
};

}  // namespace messaging::redis

#endif  // REDIS_PRODUCER_H_
