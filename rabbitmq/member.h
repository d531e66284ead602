// One subscription: a connection with a channel for each of its queues, and one (copier.h) for what it publishes.
#ifndef RABBITMQ_MEMBER_H_
#define RABBITMQ_MEMBER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/io/loop.h"
#include "rabbitmq/channel.h"
#include "rabbitmq/copier.h"
#include "rabbitmq/notes.h"
#include "rabbitmq/producer.h"
#include "rabbitmq/rabbitmq_broker.h"
#include "rabbitmq/wire.h"

namespace messaging::rabbitmq {

// How long the server's channel may take to pass on what it was told one by one.
inline constexpr absl::Duration kSinglesSettle = absl::Milliseconds(500);

class Member : public Subscription, public io::Loop::Source, public std::enable_shared_from_this<Member> {
 public:
  Member(std::shared_ptr<io::Loop> loop, const RabbitmqOptions& options, Connector connect, SubscribeOptions subscribe,
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
  struct Queue {
    int topic = 0;  // Of subscribe_.topics.
    int partition = -1;
    std::string name;
    bool foreign = false;  // Others made it.

    enum class State { kClosed, kJoining, kConsuming, kCancelling, kCancelled, kLeaving, kClosing };
    State state = State::kClosed;
    std::unique_ptr<Channel> channel;
    uint64_t life = 0;         // Counts the channel's.
    int consumer = 0;          // Counts consumers in all lives: their tags.
    bool joined = false;       // At some time.
    bool existed = false;      // Before this member came.
    bool keeps_limit = false;  // It was declared with another delivery limit, and keeps it.
    int prefetch = 0;          // Of its consumers together.
    int first_consumer = 1;    // Of those that there are now.
    bool active = false;       // Something was delivered in this life.
    absl::Time join_at = absl::InfinitePast();
    absl::Time fixed_until = absl::InfinitePast();     // Its prefetch is not changed before.
    absl::Time closed_since = absl::InfiniteFuture();  // Nothing of its topic is wanted (Room::closed).

    std::unique_ptr<RabbitRecord> coming;  // Its body is not complete.
    uint64_t body_left = 0;
    std::deque<RabbitRecord*> pending;  // Here, and not delivered.
    size_t in_hand = 0;                 // Delivered, and not settled.
    size_t releasing = 0;               // On their way back.
    // What came in this life, by tag: out[0] has first_out, and is not handled.
    enum class Out : uint8_t { kOpen, kDone, kSettled };
    std::deque<Out> out;
    uint64_t first_out = 1;
    size_t done = 0;  // Of `out`, to be acknowledged.
    absl::Time done_since = absl::InfinitePast();
    // What was acknowledged, or given back, one by one lately.
    size_t singles = 0;
    absl::Time single_at = absl::InfinitePast();

    bool partitioned() const { return partition >= 0; }
  };
  // Copies of one message, until all of them are stored.
  struct Copying {
    Settlement settlement;
    size_t open = 0;
    absl::Status status;
  };

  // member.cc: its life.
  void Connect(absl::Time now);
  void Disconnect(const absl::Status& why);
  absl::Time OverdueAt() const;
  void FailStart(const absl::Status& why);
  void Tick(absl::Time now);
  void Leave(absl::Time now);
  void StepCopiers(absl::Time now);
  void End();
  void FreeDropped();
  void TellAssignment(const absl::Status& connection = absl::OkStatus());
  void Answer(Settlement settlement, const absl::Status& status);
  void Unlink(RabbitRecord* record);
  void Free(RabbitRecord* record);

  // member_queues.cc: queues and their channels.
  void OnFrame(const amqp_frame_t& frame);
  void OnQueueFrame(int number, const amqp_frame_t& frame);
  void OnContent(int number, const amqp_frame_t& frame);
  void Manage(int number, absl::Time now);
  void Rest(int number);
  void Join(int number);
  void Declare(int number);
  void Bind(int number);
  void Consume(int number);
  void OnJoined(int number);
  void JoinFailed(int number, const absl::Status& why);
  void Rejoin(int number, absl::Time when);
  void OnChannelClosed(int number, const absl::Status& why);
  void LoseChannel(Queue& queue, bool revoke);
  void Cancel(int number);
  void AddConsumer(int number, int prefetch);
  void CloseChannel(int number, absl::Time now);
  int WantedPrefetch(const Queue& queue) const;
  void AdjustPrefetch(int number, absl::Time now);
  void Balance();
  void ShareOut(int topic, int members);
  QueueSpec SpecOf(const Queue& queue) const;

  // member_settle.cc: deliveries and verdicts.
  void Deliver(absl::Time now);
  bool Check(Queue& queue, RabbitRecord& record, absl::Time now);
  bool CheckPending(Queue& queue, absl::Time now);
  void TakeVerdicts();
  void MarkDone(RabbitRecord& record);
  void Acknowledge(const RabbitRecord& record);
  void SendAcks(Queue& queue, absl::Time now, bool all = false);
  void StoreCopies(Settlement settlement);
  void Begin(Settlement settlement);
  void Release(std::vector<Settlement> settlements, std::vector<RabbitRecord*> records);
  void Requeue(std::vector<Settlement>& settlements, std::vector<RabbitRecord*>& records);
  void GiveBack(const RabbitRecord& record);
  void NoteSingle(Queue& queue, absl::Time now);
  void ReleasePending(Queue& queue);
  void NoteOwn(int topic, const std::vector<Released>& messages);
  bool IsStale(const RabbitRecord& record) const;

  const std::shared_ptr<io::Loop> loop_;
  const RabbitmqOptions& options_;
  const Connector connect_;
  const SubscribeOptions subscribe_;
  DeliverySink* const sink_;

  absl::Mutex delivering_;  // Held while the sink is given messages; not by anything that the sink may call.
  bool fetching_ ABSL_GUARDED_BY(delivering_) = false;

  absl::Mutex mutex_;
  std::vector<Settlement> verdicts_ ABSL_GUARDED_BY(mutex_);
  std::vector<RabbitRecord*> dropped_ ABSL_GUARDED_BY(mutex_);
  bool left_ ABSL_GUARDED_BY(mutex_) = false;  // Nothing of it concerns the server any more.
  bool start_done_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status start_status_ ABSL_GUARDED_BY(mutex_);
  bool close_done_ ABSL_GUARDED_BY(mutex_) = false;

  // The loop's thread only.
  std::vector<Queue> queues_;
  std::vector<std::unique_ptr<Notes>> notes_;  // By topic.
  std::unique_ptr<Connection> connection_;
  std::unique_ptr<Channel> setup_;  // For what concerns no queue, and may fail.
  std::set<int> counted_;           // Topics, among whose members it is counted by that channel.
  Copier copier_;
  Copier notes_copier_;  // Its own connection: a stream that is being made ends those that use it.
  std::vector<Settlement> answers_;
  absl::Status broken_;  // What a frame said that ends the connection, once what came with it is done.
  RabbitRecord* in_hand_ = nullptr;
  size_t in_hand_count_ = 0;
  size_t in_hand_bytes_ = 0;
  size_t releases_ = 0;  // On their way.
  // Of messages that this member had when a connection or a channel of its was lost: it lives, they are no suspects.
  std::vector<absl::flat_hash_map<std::string, uint32_t>> own_;  // By topic: identity, deliveries.
  size_t unjoined_ = 0;
  size_t next_queue_ = 0;
  bool is_fetching_ = true;
  bool started_ = false;
  bool was_connected_ = false;
  bool complained_ = false;
  bool closing_ = false;
  bool said_goodbye_ = false;
  bool warned_timeout_ = false;
  Assignment told_;
  double mean_bytes_ = 0;  // Of a message, as they come lately; 0: none came.
  Version version_;        // The server's.
  absl::Duration consumer_timeout_;
  absl::Time start_limit_ = absl::InfiniteFuture();
  absl::Time retry_at_ = absl::InfinitePast();
  absl::Time next_read_ = absl::InfinitePast();
  absl::Time next_tick_ = absl::InfinitePast();
  absl::Time next_check_ = absl::InfiniteFuture();
  absl::Time next_step_ = absl::InfinitePast();
  io::Backoff backoff_;
};

}  // namespace messaging::rabbitmq

#endif  // RABBITMQ_MEMBER_H_
