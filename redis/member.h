// One subscription: a connection that reads, blocked on its streams while they are empty, and one for all the rest, so
// that no acknowledgement waits behind a read.
#ifndef REDIS_MEMBER_H_
#define REDIS_MEMBER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/io/loop.h"
#include "redis/connection.h"
#include "redis/entry.h"
#include "redis/keys.h"
#include "redis/redis_broker.h"

namespace messaging::redis {

// Messages that came in one reply, which their records point into. Freed when the last of its records is.
struct Batch {
  explicit Batch(ReplyPtr from) : reply(std::move(from)) {}
  ReplyPtr reply;
  std::deque<RedisRecord> records;
  size_t live = 0;
};

// Of what was given to it before: asked for, or adopted, at a time.
inline constexpr size_t kHistoryCount = 500;
// How often it looks at what is due, what others left and who else is there.
inline constexpr absl::Duration kTick = absl::Milliseconds(200);

class Member : public Subscription, public io::Loop::Source, public std::enable_shared_from_this<Member> {
 public:
  // `options` outlive it.
  Member(std::shared_ptr<io::Loop> loop, const RedisOptions& options, Connector connect, SubscribeOptions subscribe,
         DeliverySink* sink);
  ~Member() override;

  // Subscription and RecordOwner: any thread.
  absl::Status Start() override;
  void Settle(std::vector<Settlement> batch) override;
  void Wake() override;
  void StopFetching() override;
  absl::Status Close(absl::Time deadline) override;
  absl::StatusOr<int64_t> Backlog() override;
  void Drop(Record* record) override;

  // Source: the loop's thread.
  void Step(absl::Time now) override;
  absl::Time NextStep() override { return next_step_; }
  std::vector<io::Stream*> Streams() override;
  void OnLost(io::Stream* stream, const absl::Status& why) override;
  void AfterRead() override;

 private:
  struct Stream {
    int topic = 0;  // Of subscribe_.topics.
    GroupKeys keys;
    int partition = -1;
    // A partition is read by the member that has its lease, once that has taken what earlier owners left; other streams
    // are read by all. kLeaving: another is to have it; nothing new is read until what has a key is done.
    enum class Claim { kNone, kAdopting, kOwned, kLeaving };
    Claim claim = Claim::kNone;
    bool wanted = false;
    bool had = false;      // It was ours when the connection was lost.
    bool reading = false;  // It is among those of the read that is on its way.
    int adopting = 0;      // Answers that kAdopting waits for.
    absl::Time lease_until = absl::InfinitePast();
    size_t keyed_in_hand = 0;

    bool partitioned() const { return partition >= 0; }
    bool readable(absl::Time now) const { return !partitioned() || (claim == Claim::kOwned && now < lease_until); }
  };
  // What was sent on the connection for commands, in order.
  struct Asked {
    enum class Kind {
      kIgnore,
      kGroup,
      kHistory,
      kAck,
      kSettle,
      kRelease,
      kBegin,
      kTake,
      kDue,
      kAssign,
      kLease,
      kAdopt,
      kLeave
    };
    Kind kind = Kind::kIgnore;
    int stream = -1;
    bool is_retry = false;
    size_t limit = 0;  // kTake.
    std::vector<Settlement> settlements = {};
    absl::Time when = absl::InfinitePast();
  };

  void Connect(absl::Time now);
  void Disconnect(const absl::Status& why);
  void FailStart(const absl::Status& why);
  void End();
  void FreeDropped();
  void MakeGroups();
  void AskHistories();
  void AskHistory(int stream, bool is_retry, std::string_view after);
  void AskTick(absl::Time now);
  size_t RoomToTake();
  void AskPartition(int stream, absl::Time now);
  void AskAdopt(int stream, bool is_retry);
  void AskRead();
  void AskVerdicts();
  void AskAcks(int stream, bool is_retry, std::vector<Settlement> settlements);
  void AskReleases(int stream, bool is_retry, std::vector<Settlement> settlements, std::vector<RedisRecord*> dropped);
  void AskCopies(Settlement settlement);
  void AskBegin(Settlement settlement);
  void AskUnblock();
  void AskLeave();
  CommandBuffer& Ask(Asked asked);

  void OnReadReply(ReplyPtr reply);
  void OnReply(Connection* connection, ReplyPtr reply);
  void OnCommandReply(Asked asked, ReplyPtr reply);
  void OnGroup(const Asked& asked, const redisReply& reply);
  absl::flat_hash_set<std::string_view> InHand(int stream, bool is_retry) const;
  void OnHistory(const Asked& asked, ReplyPtr reply);
  void OnTaken(const Asked& asked, ReplyPtr reply);
  void OnDue(const redisReply& reply);
  void OnAssign(const Asked& asked, const redisReply& reply);
  void OnLease(const Asked& asked, const redisReply& reply);
  void OnAdopted(const Asked& asked, ReplyPtr reply);
  RedisRecord* AddTaken(Batch& batch, const Asked& asked, const redisReply& taken);
  void Answer(std::vector<Settlement> settlements, const absl::Status& status);
  void TellAssignment(const absl::Status& connection = absl::OkStatus());
  void Lost(const absl::Status& why);  // A group is gone: makes it again.

  // Adds what an entry holds to `batch`; null: nothing for the sink.
  RedisRecord* AddRecord(Batch& batch, int stream, bool is_retry, const redisReply& entry);
  void Deliver(std::unique_ptr<Batch> batch);
  void Unlink(RedisRecord* record);
  void Free(RedisRecord* record);
  bool joined() const { return ungrouped_ == 0; }
  const std::string& SourceKey(int stream, bool is_retry) const {
    return is_retry ? streams_[stream].keys.retry : streams_[stream].keys.stream;
  }

  const std::shared_ptr<io::Loop> loop_;
  const RedisOptions& options_;
  const Connector connect_;
  const SubscribeOptions subscribe_;
  DeliverySink* const sink_;

  absl::Mutex delivering_;  // Held while the sink is given messages; not by anything that the sink may call.
  bool fetching_ ABSL_GUARDED_BY(delivering_) = false;

  absl::Mutex mutex_;
  std::vector<Settlement> verdicts_ ABSL_GUARDED_BY(mutex_);
  std::vector<RedisRecord*> dropped_ ABSL_GUARDED_BY(mutex_);
  bool left_ ABSL_GUARDED_BY(mutex_) = false;  // Nothing of it concerns the server any more.
  bool start_done_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status start_status_ ABSL_GUARDED_BY(mutex_);
  bool close_done_ ABSL_GUARDED_BY(mutex_) = false;

  // The loop's thread only.
  std::vector<Stream> streams_;
  absl::flat_hash_map<std::string_view, std::pair<int, bool>> by_key_;  // Stream's number, and whether its retry.
  std::unique_ptr<Connection> reader_;
  std::unique_ptr<Connection> commands_;
  bool reading_ = false;      // A read is on its way ...
  size_t read_promised_ = 0;  // ... and brings so many at most.
  absl::Time read_since_;
  std::deque<Asked> asked_;
  absl::Time asked_since_;           // When the oldest of asked_ became the oldest.
  std::vector<Settlement> answers_;  // For the sink, after the replies that came together.
  absl::Status broken_;  // What a reply said that ends the connections, once the replies that came with it are done.
  RedisRecord* in_hand_ = nullptr;
  bool started_ = false;
  bool was_connected_ = false;
  bool complained_ = false;
  bool refused_ = false;  // It was said that the server does not let it in.
  bool closing_ = false;
  bool leave_asked_ = false;
  bool unblock_asked_ = false;
  bool dealt_ = false;  // It was said since it connected which partitions are for it.
  Assignment told_;
  bool history_wanted_ = false;
  int histories_ = 0;  // Answers that reading waits for.
  bool was_fetching_ = true;
  int ticks_ = 0;
  size_t ungrouped_ = 0;  // Groups that are not made yet.
  size_t first_stream_ = 0;
  double mean_bytes_ = 64 << 10;  // Of a message, as they come lately.
  absl::Time start_limit_ = absl::InfiniteFuture();
  absl::Time retry_at_ = absl::InfinitePast();
  // Others were without the server, too: before this they have had no time to show that they are there.
  absl::Time take_others_at_ = absl::InfinitePast();
  absl::Time next_tick_ = absl::InfinitePast();
  absl::Time next_due_ = absl::InfiniteFuture();
  absl::Time next_trim_ = absl::InfinitePast();
  absl::Time next_step_ = absl::InfinitePast();
  io::Backoff backoff_;
};

}  // namespace messaging::redis

#endif  // REDIS_MEMBER_H_
