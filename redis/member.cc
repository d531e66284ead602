// A subscription's life: joining, connecting again, leaving. What it asks is in member_asks.cc, what it is told in
// member_replies.cc.
#include "redis/member.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "messaging/broker/clock.h"
#include "messaging/log.h"
#include "redis/admin.h"

namespace messaging::redis {
namespace {

absl::Time Now() { return Clock::Steady().Now(); }

bool ForGood(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnauthenticated || status.code() == absl::StatusCode::kPermissionDenied ||
         status.code() == absl::StatusCode::kFailedPrecondition;
}

}  // namespace

Member::Member(std::shared_ptr<io::Loop> loop, const RedisOptions& options, Connector connect,
               SubscribeOptions subscribe, DeliverySink* sink)
    : loop_(std::move(loop)),
      options_(options),
      connect_(std::move(connect)),
      subscribe_(std::move(subscribe)),
      sink_(sink) {
  for (size_t i = 0; i < subscribe_.topics.size(); ++i) {
    const std::string& topic = subscribe_.topics[i].topic;
    const int partitions = options_.PartitionsOf(topic);
    auto add = [&](int partition) {
      streams_.push_back({.topic = static_cast<int>(i),
                          .keys = GroupKeys(topic, partition, subscribe_.group),
                          .partition = partition});
    };
    if (partitions == 0) add(-1);
    for (int p = 0; p < partitions; ++p) add(p);
  }
  for (size_t i = 0; i < streams_.size(); ++i) {
    by_key_[streams_[i].keys.stream] = {static_cast<int>(i), false};
    by_key_[streams_[i].keys.retry] = {static_cast<int>(i), true};
  }
}

Member::~Member() = default;

// Any thread.

absl::Status Member::Start() {
  {
    absl::MutexLock lock(&delivering_);
    fetching_ = true;
  }
  loop_->Post([self = shared_from_this()] {
    self->start_limit_ = Now() + self->options_.start_timeout;
    self->loop_->Add(self);
  });
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&start_done_));
  return start_status_;
}

void Member::Settle(std::vector<Settlement> batch) {
  {
    absl::MutexLock lock(&mutex_);
    if (!left_) {
      verdicts_.insert(verdicts_.end(), std::make_move_iterator(batch.begin()), std::make_move_iterator(batch.end()));
      batch.clear();
    }
  }
  if (batch.empty()) return loop_->Notify();
  for (Settlement& settlement : batch) {  // Too late: what it held went back when it left.
    settlement.status = absl::CancelledError("the subscription is closed");
    if (settlement.verdict != Settlement::Verdict::kBegin) Drop(settlement.delivery.Take());
  }
  sink_->Settled(std::move(batch));
}

void Member::Wake() { loop_->Notify(); }

void Member::StopFetching() {
  {
    absl::MutexLock lock(&delivering_);
    fetching_ = false;
  }
  loop_->Notify();
}

absl::Status Member::Close(absl::Time deadline) {
  StopFetching();
  loop_->Post([self = shared_from_this()] { self->closing_ = true; });
  absl::MutexLock lock(&mutex_);
  const bool done = mutex_.AwaitWithDeadline(absl::Condition(&close_done_), deadline);
  if (!done) {
    loop_->Post([self = shared_from_this()] { self->End(); });
    return absl::DeadlineExceededError(absl::StrCat(options_.Address(), " did not answer in time"));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Member::Backlog() {
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect_();
  if (!connection.ok()) return connection.status();
  int64_t waiting = 0;
  for (const TopicPlan& plan : subscribe_.topics) {
    std::vector<int> partitions;
    for (const Stream& stream : streams_) {
      if (subscribe_.topics[stream.topic].topic == plan.topic) partitions.push_back(stream.partition);
    }
    const absl::StatusOr<std::vector<GroupLag>> lags =
        LagOfTopic(**connection, options_, plan.topic, partitions, subscribe_.group);
    if (!lags.ok()) return lags.status();
    for (const GroupLag& lag : *lags) {
      if (!lag.waiting) return absl::UnimplementedError(lag.note);
      waiting += *lag.waiting;
    }
  }
  return waiting;
}

void Member::Drop(Record* record) {
  bool left = false;
  {
    absl::MutexLock lock(&mutex_);
    dropped_.push_back(static_cast<RedisRecord*>(record));
    left = left_;
  }
  if (!left) return loop_->Notify();
  loop_->Post([self = shared_from_this()] { self->FreeDropped(); });
}

// Once nobody steps any more: what it held went back when it left.
void Member::FreeDropped() {
  std::vector<RedisRecord*> dropped;
  {
    absl::MutexLock lock(&mutex_);
    dropped.swap(dropped_);
  }
  for (RedisRecord* record : dropped) Free(record);
}

void Member::End() {
  Disconnect(absl::CancelledError("the subscription is closed"));
  loop_->Remove(this);
  std::vector<Settlement> late;
  {
    absl::MutexLock lock(&mutex_);
    left_ = close_done_ = true;
    late.swap(verdicts_);
  }
  FreeDropped();
  if (!late.empty()) Settle(std::move(late));
}

// The loop's thread.

std::vector<io::Stream*> Member::Streams() {
  if (reader_ == nullptr) return {};
  return {reader_.get(), commands_.get()};
}

void Member::Step(absl::Time now) {
  next_step_ = now + kTick;
  if (reader_ == nullptr) {
    if (closing_ && in_hand_ == nullptr && !was_connected_) {
      absl::MutexLock lock(&mutex_);
      close_done_ = true;
      next_step_ = absl::InfiniteFuture();
      return;
    }
    Connect(now);
    if (reader_ == nullptr) return;
  }
  const absl::Duration limit = options_.response_timeout;
  if ((reading_ && now > read_since_ + limit + absl::Seconds(1)) || (!asked_.empty() && now > asked_since_ + limit)) {
    return Disconnect(
        absl::UnavailableError(absl::StrCat(options_.Address(), ": no answer for ", absl::FormatDuration(limit))));
  }
  if (!joined()) return;
  AskVerdicts();
  if (closing_) return AskLeave();
  bool fetching = false;
  {
    absl::MutexLock lock(&delivering_);
    fetching = fetching_;
  }
  if (std::exchange(was_fetching_, fetching) != fetching) next_tick_ = absl::InfinitePast();  // Gives partitions away.
  if (now >= next_tick_ || now >= next_due_) {
    TellAssignment();
    AskTick(now);
  }
  if (history_wanted_) AskHistories();
  AskRead();
  next_step_ = std::min(next_tick_, next_due_);
}

void Member::Connect(absl::Time now) {
  if (now < retry_at_) {
    next_step_ = retry_at_;
    return;
  }
  absl::StatusOr<std::unique_ptr<Connection>> reader = connect_();
  absl::StatusOr<std::unique_ptr<Connection>> commands = reader.ok() ? connect_() : reader.status();
  if (!commands.ok()) {
    const absl::Status& why = commands.status();
    if (!started_ && (ForGood(why) || now >= start_limit_)) return FailStart(why);
    retry_at_ = next_step_ = now + std::min(backoff_.Next(), options_.claim_idle / 4);
    const bool refused = ForGood(why) && !std::exchange(refused_, true);  // It is more than a server that is away.
    if (!std::exchange(complained_, true) || refused) {
      Log(Severity::kWarning,
          absl::StrCat("group ", subscribe_.group, " cannot consume, and tries again: ", why.message()));
    }
    if (started_) TellAssignment(why);
    return;
  }
  reader_ = *std::move(reader);
  commands_ = *std::move(commands);
  for (Connection* connection : {reader_.get(), commands_.get()}) {
    connection->StopBlocking([this, connection](ReplyPtr reply) { OnReply(connection, std::move(reply)); });
  }
  MakeGroups();
}

void Member::FailStart(const absl::Status& why) {
  Disconnect(why);
  loop_->Remove(this);
  next_step_ = absl::InfiniteFuture();
  absl::MutexLock lock(&mutex_);
  start_status_ = why;
  start_done_ = close_done_ = left_ = true;
}

void Member::Disconnect(const absl::Status& why) {
  if (reader_ == nullptr) return;
  reader_.reset();
  commands_.reset();
  reading_ = leave_asked_ = unblock_asked_ = false;
  ungrouped_ = 0;
  dealt_ = false;
  history_wanted_ = false;
  histories_ = 0;
  for (Stream& stream : streams_) {
    // Whether a partition is still ours is asked when connected again.
    if (started_) stream.had = stream.claim != Stream::Claim::kNone;
    stream.claim = Stream::Claim::kNone;
    stream.reading = false;
    stream.adopting = 0;
  }
  retry_at_ = next_step_ = Now() + std::min(backoff_.Next(), options_.claim_idle / 4);
  if (!answers_.empty()) sink_->Settled(std::exchange(answers_, {}));
  // Verdicts without an answer are given again once connected, before anything else is asked: each can be twice.
  std::vector<Settlement> again;
  for (Asked& asked : std::exchange(asked_, {})) {
    std::move(asked.settlements.begin(), asked.settlements.end(), std::back_inserter(again));
  }
  if (!again.empty()) {
    absl::MutexLock lock(&mutex_);
    std::move(verdicts_.begin(), verdicts_.end(), std::back_inserter(again));
    verdicts_ = std::move(again);
  }
  if (why.code() != absl::StatusCode::kCancelled && !std::exchange(complained_, true)) {
    Log(Severity::kWarning,
        absl::StrCat("group ", subscribe_.group, " does not consume, and connects again: ", why.message()));
  }
  TellAssignment(why);
}

// When something of it has changed.
void Member::TellAssignment(const absl::Status& connection) {
  if (absl::IsCancelled(connection)) return;  // It leaves.
  const absl::Time time = Now();
  Assignment now{.group = subscribe_.group};
  int read = 0, awaited = 0;
  bool partitioned = false, shared = false;
  for (const Stream& stream : streams_) {
    (stream.partitioned() ? partitioned : shared) = true;
    if (stream.partitioned() && stream.wanted) ++(stream.readable(time) ? read : awaited);
  }
  if (partitioned) now.partitions = read;
  if (!connection.ok()) {
    now.missing = absl::StrCat("connects again: ", connection.message());
  } else if (!joined()) {
    now.missing = "joins the group";
  } else if (!shared && read == 0 && (awaited > 0 || !dealt_)) {
    now.missing = awaited == 0 ? "the group deals its partitions"
                               : absl::StrCat("waits for ", awaited, " partitions that other members still have");
  }
  if (std::exchange(told_, now) != now) sink_->Assigned(std::move(now));
}

void Member::OnLost(io::Stream*, const absl::Status& why) { Disconnect(why); }

void Member::Lost(const absl::Status& why) {
  if (!joined()) return;
  Log(Severity::kWarning, absl::StrCat("group ", subscribe_.group, " is gone and made again: ", why.message()));
  MakeGroups();
}

void Member::Answer(std::vector<Settlement> settlements, const absl::Status& status) {
  for (Settlement& settlement : settlements) {
    settlement.status = status;
    const bool settled = status.ok() || status.code() == absl::StatusCode::kCancelled;
    if (settled && settlement.verdict != Settlement::Verdict::kBegin)
      Free(static_cast<RedisRecord*>(settlement.delivery.Take()));
    answers_.push_back(std::move(settlement));
  }
}

void Member::AfterRead() {
  if (!answers_.empty()) sink_->Settled(std::exchange(answers_, {}));
  if (broken_.ok()) return;
  const absl::Status why = std::exchange(broken_, absl::OkStatus());
  if (!started_ && ForGood(why)) return FailStart(why);
  if (started_ && why.code() == absl::StatusCode::kFailedPrecondition) sink_->Fail(why);  // Another type of key.
  Disconnect(why);
}

void Member::Deliver(std::unique_ptr<Batch> batch) {
  if (batch->live == 0) return;
  std::vector<Delivery> deliveries;
  deliveries.reserve(batch->records.size());
  for (RedisRecord& record : batch.release()->records) deliveries.emplace_back(&record);
  absl::MutexLock lock(&delivering_);
  if (fetching_) sink_->Deliver(std::move(deliveries));
  // Else they are dropped here, which gives them back.
}

void Member::Unlink(RedisRecord* record) {
  if (record->previous != nullptr) {
    record->previous->next = record->next;
  } else {
    in_hand_ = record->next;
  }
  if (record->next != nullptr) record->next->previous = record->previous;
}

void Member::Free(RedisRecord* record) {
  Unlink(record);
  if (record->has_key && --streams_[record->stream].keyed_in_hand == 0 &&
      streams_[record->stream].claim == Stream::Claim::kLeaving) {
    next_tick_ = absl::InfinitePast();
  }
  Batch* const batch = record->batch;
  if (--batch->live == 0) delete batch;
}

}  // namespace messaging::redis
