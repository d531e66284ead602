// One subscription: a consumer of the group, on a thread of its own that reads, settles and commits. What is read ahead
// waits in librdkafka's queues: one for all topics, and one for each partition that waits by itself: of a retry place,
// whose head waits until it is due, or of a topic that is closed (broker.h, Room).
#ifndef KAFKA_MEMBER_H_
#define KAFKA_MEMBER_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "kafka/commit_schedule.h"
#include "kafka/handle.h"
#include "kafka/offsets.h"
#include "kafka/producer.h"
#include "kafka/record.h"
#include "messaging/broker/broker.h"

namespace messaging::kafka {

// One that is, or was, assigned to this member; as long as somebody holds a record of it.
struct Partition {
  enum class State { kOwned, kLeaving, kGone };
  const TopicPlan* plan = nullptr;  // Whose topic it holds, or retries of.
  std::string name;                 // Of the topic or retry place.
  int32_t number = 0;
  bool retry = false;
  State state = State::kOwned;
  Offsets offsets;
  size_t in_hand = 0;

  class Member* member = nullptr;         // For `queue`'s notices.
  Queue queue;                            // Its own; what comes goes on to the shared one, unless it is `alone`.
  bool alone = false;                     // Always, of a retry place.
  std::atomic<bool> readable{true};       // `queue` may hold something, if it is alone.
  int64_t shared_until = 0;               // So far the shared queue has to be read before there is no more of it there.
  bool closed = false;                    // Nobody would handle what it holds.
  std::deque<MessagePtr> waiting;         // Read; until they are due, and may be delivered.
  std::vector<KafkaRecord*> returned;     // Given back by the engine while it goes on: to be delivered again.
  absl::Time due = absl::InfinitePast();  // Of the head of `waiting`.
  int64_t paused_at = -1;                 // The offset to go on with.

  bool touched = false;           // There may be something to commit.
  Offsets::Commit sent;           // The last that was asked.
  std::vector<Settlement> begun;  // Answered when its next commit is stored: Begin, and what was copied.
};

class Member : public Subscription, public std::enable_shared_from_this<Member> {
 public:
  // `options`, and the producer for copies, are shared with the broker.
  Member(std::shared_ptr<const KafkaOptions> options, std::shared_ptr<Producer> producer, SubscribeOptions subscribe,
         DeliverySink* sink);
  ~Member() override;

  // Any thread.
  absl::Status Start() override;
  void Settle(std::vector<Settlement> batch) override;
  void Wake() override { Notify(); }
  void StopFetching() override;
  absl::Status Close(absl::Time deadline) override;
  absl::StatusOr<int64_t> Backlog() override;
  void Drop(Record* record) override;

  void Notify();  // There is something to do.

 private:
  // Where copies of one message are stored, and what is to be settled when they are.
  struct Storing {
    Settlement settlement;
    int left = 0;
    absl::Status status;
  };
  // Of one partition: what the commit answers, when it is stored.
  struct CommitAsked {
    Partition* partition;
    Offsets::Commit commit;
    std::vector<Settlement> begun;
  };

  // member.cc: its life, and its thread's.
  void Run();
  void RunUntilClosed();
  absl::Status Join(absl::Time limit);
  bool StepOnce();
  void WaitForWork();
  void PollEvents();
  void OnError(rd_kafka_resp_err_t error, const char* text);
  void FinishStart(absl::Status status);
  void Leave();
  void FreeLeftovers();

  // member_join.cc: topics, assignment, revocation.
  absl::Status PrepareTopics(absl::Time limit);
  absl::StatusOr<std::vector<std::string>> MissingTopics();
  absl::Status MakeTopics(const std::vector<std::string>& topics, absl::Time limit);
  void StepRebalance();
  void Assign();
  void Revoke();
  bool FindPositions(rd_kafka_topic_partition_list_t* partitions);
  bool IsNewGroup(const std::string& topic);
  void AddPartition(const rd_kafka_topic_partition_t& assigned);
  void Abandon(Partition* partition);
  void TellAssignment(std::string missing = "");
  const TopicPlan* PlanOf(const std::string& topic, bool& retry) const;

  // member_read.cc: from the server to the sink.
  void Read();
  bool ReadShared(size_t count, std::vector<Delivery>& out);
  void ReadRetries(size_t room, std::vector<Delivery>& out);
  void ReadWaiting(Partition& partition, size_t room, std::vector<Delivery>& out);
  void Take(MessagePtr message, std::vector<Delivery>& out);
  bool Offer(Partition& partition, MessagePtr& message, std::vector<Delivery>& out);
  void OnMessageError(const rd_kafka_message_t& message);
  Partition* Find(const rd_kafka_message_t& message);
  void CloseTopics(const Room& room);
  void SetClosed(Partition& partition);
  void ReadAlone(Partition& partition);
  void ReadTogether(Partition& partition);
  void DropWaiting(Partition& partition);
  bool Fill(Partition& partition);
  void Pause(Partition& partition, int64_t offset);
  void Resume(Partition& partition);
  KafkaRecord* NewRecord(Partition& partition, MessagePtr message);
  void Free(KafkaRecord* record);

  // member_settle.cc: verdicts and commits.
  void TakeVerdicts();
  void GiveBack(KafkaRecord* record);
  void Store(Settlement settlement);
  void FinishStored();
  void CommitIfDue(absl::Time now);
  void Commit(bool open, const std::function<bool(const Partition&)>& which);
  void CommitAndWait(const std::function<bool(const Partition&)>& which, absl::Time limit);
  void PollCommits();
  void OnCommitted(rd_kafka_resp_err_t error, const rd_kafka_topic_partition_list_t* partitions);
  bool AnyBegun() const;
  void CancelBegun(Partition& partition);
  void AnswerAll();
  size_t InHandOf(Partition::State state) const;

  const std::shared_ptr<const KafkaOptions> options_;
  const std::shared_ptr<Producer> producer_;
  const SubscribeOptions subscribe_;
  DeliverySink* const sink_;
  std::map<std::string, std::pair<const TopicPlan*, bool>> plans_;  // By topic and retry place: its plan, is it retry.
  const int event_;                                                 // Written to when there is something to do.
  std::atomic<bool> notified_{false};

  absl::Mutex delivering_;  // Held while the sink is given messages; not by anything that the sink may call.
  bool fetching_ ABSL_GUARDED_BY(delivering_) = false;

  absl::Mutex mutex_;
  std::vector<Settlement> verdicts_ ABSL_GUARDED_BY(mutex_);
  std::vector<KafkaRecord*> dropped_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Storing>> stored_ ABSL_GUARDED_BY(mutex_);
  bool left_ ABSL_GUARDED_BY(mutex_) = false;  // Its thread has ended.
  bool start_done_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status start_status_ ABSL_GUARDED_BY(mutex_);
  bool close_done_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status close_status_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> closing_{false};
  absl::Time close_by_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();

  // Its thread's.
  Handle handle_;
  Queue events_, messages_, commits_;
  Connectivity connectivity_;
  absl::Duration ask_limit_ = absl::Milliseconds(500);  // Of the first question: longer each time it has no answer.
  std::vector<std::unique_ptr<Partition>> partitions_;
  Partition* last_found_ = nullptr;
  std::vector<KafkaRecord*> free_records_;
  std::vector<std::unique_ptr<KafkaRecord>> records_;
  std::vector<rd_kafka_message_t*> batch_;
  size_t live_ = 0;     // Records in somebody's hand.
  size_t storing_ = 0;  // Settlements whose copies are on their way.
  size_t waiting_ = 0;  // Messages from the shared queue that wait for a claim.
  Room closed_;         // As far as its topics are concerned: the last that was seen.
  int64_t shared_read_ = 0;
  double mean_bytes_ = 1 << 10;
  std::vector<Settlement> answers_;
  std::vector<CommitAsked> asked_;  // In the commit that has no answer yet; there is one at a time.
  bool claim_wanted_ = false;
  CommitSchedule schedule_;
  absl::Time wake_at_ = absl::InfiniteFuture();
  Event rebalance_;  // To be done: what librdkafka waits for.
  absl::Time revoke_by_ = absl::InfiniteFuture();
  absl::Time try_again_ = absl::InfinitePast();
  std::thread thread_;
};

}  // namespace messaging::kafka

#endif  // KAFKA_MEMBER_H_
