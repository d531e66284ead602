// A subscription's life: joining, connecting again, leaving. Its queues are in member_queues.cc, deliveries and
// verdicts in member_settle.cc.
#include "rabbitmq/member.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "messaging/broker/clock.h"
#include "messaging/log.h"
#include "rabbitmq/topology.h"

namespace messaging::rabbitmq {
namespace {

absl::Time Now() { return Clock::Steady().Now(); }

bool ForGood(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnauthenticated || status.code() == absl::StatusCode::kPermissionDenied ||
         status.code() == absl::StatusCode::kFailedPrecondition || status.code() == absl::StatusCode::kNotFound;
}

}  // namespace

Member::Member(std::shared_ptr<io::Loop> loop, const RabbitmqOptions& options, Connector connect,
               SubscribeOptions subscribe, DeliverySink* sink)
    : loop_(std::move(loop)),
      options_(options),
      connect_(std::move(connect)),
      subscribe_(std::move(subscribe)),
      sink_(sink),
      copier_(options, connect_),
      notes_copier_(options, connect_),
      own_(subscribe_.topics.size()),
      consumer_timeout_(options.consumer_timeout) {
  for (size_t i = 0; i < subscribe_.topics.size(); ++i) {
    const std::string& topic = subscribe_.topics[i].topic;
    const int partitions = options_.PartitionsOf(topic);
    const bool foreign = !options_.SettingOf(topic, "queue").empty();
    auto add = [&](int partition) {
      Queue& queue = queues_.emplace_back();
      queue.topic = static_cast<int>(i);
      queue.partition = partition;
      queue.name = QueueName(options_, topic, subscribe_.group, partition);
      queue.foreign = foreign;
    };
    if (partitions == 0) add(-1);
    for (int p = 0; p < partitions; ++p) add(p);
    notes_.push_back(std::make_unique<Notes>(NotesStream(topic, subscribe_.group), subscribe_.member, notes_copier_));
  }
  notes_copier_.set_on_other_frame([this](const amqp_frame_t& frame) {
    const size_t topic = frame.channel - static_cast<size_t>(Publisher::kFirstFree);
    if (topic < notes_.size() && notes_[topic]->IsChannel(frame.channel)) notes_[topic]->OnFrame(frame);
  });
  notes_copier_.on_lost = [this] {
    for (const std::unique_ptr<Notes>& notes : notes_) notes->Detach();
  };
  unjoined_ = queues_.size();
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
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect_("look");
  if (!connection.ok()) return connection.status();
  const amqp_connection_state_t state = (*connection)->state();
  amqp_channel_open(state, 1);
  int64_t waiting = 0;
  for (const Queue& queue : queues_) {
    const amqp_queue_declare_ok_t* const found =
        amqp_queue_declare(state, 1, Bytes(queue.name), /*passive=*/1, 0, 0, 0, amqp_empty_table);
    if (found == nullptr) return (*connection)->LastStatus(1);
    waiting += found->message_count;
  }
  return waiting;
}

void Member::Drop(Record* record) {
  bool left = false;
  {
    absl::MutexLock lock(&mutex_);
    dropped_.push_back(static_cast<RabbitRecord*>(record));
    left = left_;
  }
  if (!left) return loop_->Notify();
  loop_->Post([self = shared_from_this()] { self->FreeDropped(); });
}

// Once nobody steps any more: what it held went back when it left.
void Member::FreeDropped() {
  std::vector<RabbitRecord*> dropped;
  {
    absl::MutexLock lock(&mutex_);
    dropped.swap(dropped_);
  }
  for (RabbitRecord* record : dropped) Free(record);
}

// The loop's thread.

std::vector<io::Stream*> Member::Streams() {
  std::vector<io::Stream*> streams;
  if (connection_ != nullptr) streams.push_back(connection_.get());
  for (Copier* copier : {&copier_, &notes_copier_}) {
    if (copier->connection() != nullptr) streams.push_back(copier->connection());
  }
  return streams;
}

void Member::OnLost(io::Stream* stream, const absl::Status& why) {
  for (Copier* copier : {&copier_, &notes_copier_}) {
    if (stream != copier->connection()) continue;
    copier->OnLost(why);
    return AfterRead();
  }
  Disconnect(why);
}

void Member::Step(absl::Time now) {
  if (connection_ == nullptr) {
    next_step_ = absl::InfiniteFuture();
    if (closing_) return loop_->Post([self = shared_from_this()] { self->End(); });
    StepCopiers(now);
    TakeVerdicts();
    if (!answers_.empty()) sink_->Settled(std::exchange(answers_, {}));
    Connect(now);
    if (connection_ == nullptr) return;
  }
  next_step_ = absl::InfiniteFuture();
  if (now >= next_read_) {  // Heartbeats go out, and are missed, when it reads.
    const absl::Status status = connection_->Read();
    AfterRead();
    if (connection_ == nullptr) return;
    if (!status.ok()) return Disconnect(status);
    next_read_ = now + connection_->tick();
  }
  if (now > OverdueAt()) {
    const absl::Status why = connection_->Overdue();
    return !started_ && now >= start_limit_ ? FailStart(why) : Disconnect(why);
  }
  {
    absl::MutexLock lock(&delivering_);
    is_fetching_ = fetching_;
  }
  StepCopiers(now);
  TakeVerdicts();
  Deliver(now);
  for (size_t i = 0; i < queues_.size(); ++i) Manage(static_cast<int>(i), now);
  if (now >= next_tick_) Tick(now);
  for (Queue& queue : queues_) SendAcks(queue, now);
  if (!answers_.empty()) sink_->Settled(std::exchange(answers_, {}));
  if (closing_) Leave(now);
  StepCopiers(now);
  next_step_ = std::min({next_step_, next_read_, next_tick_, next_check_, copier_.next_step(),
                         notes_copier_.next_step(), OverdueAt() + absl::Milliseconds(1)});
}

// Each question has its limit: a server that is there, and does not answer one, may answer it when it is asked anew.
absl::Time Member::OverdueAt() const {
  absl::Time at = setup_->overdue_at();
  for (const Queue& queue : queues_) {
    if (queue.channel != nullptr) at = std::min(at, queue.channel->overdue_at());
  }
  return at;
}

void Member::StepCopiers(absl::Time now) {
  for (const std::unique_ptr<Notes>& notes : notes_) {
    if (now <= notes->overdue_at() || notes_copier_.connection()->blocked()) continue;
    notes_copier_.OnLost(notes_copier_.connection()->Overdue());
    break;
  }
  copier_.Step(now);
  notes_copier_.Step(now);
}

// Once a second: who else is there, and what is held for long.
void Member::Tick(absl::Time now) {
  next_tick_ = now + absl::Seconds(1);
  if (is_fetching_) {
    TellAssignment();
    Balance();
  }
  if (warned_timeout_ || consumer_timeout_ == absl::ZeroDuration()) return;
  for (const RabbitRecord* record = in_hand_; record != nullptr; record = record->next) {
    if (IsStale(*record) || now - record->arrived < consumer_timeout_ * 0.8) continue;
    warned_timeout_ = true;
    Log(Severity::kWarning,
        absl::StrCat("a message of ", record->topic, " has been held for ",
                     absl::FormatDuration(absl::Trunc(now - record->arrived, absl::Seconds(1))),
                     ": after consumer_timeout (", absl::FormatDuration(consumer_timeout_),
                     ") the server takes it back and it is handled once more; a smaller prefetch, or a longer ",
                     "consumer_timeout on the server, helps"));
    return;
  }
}

void Member::Connect(absl::Time now) {
  if (now < retry_at_) {
    next_step_ = std::min({retry_at_, copier_.next_step(), notes_copier_.next_step()});
    return;
  }
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect_("consume");
  if (!connection.ok()) {
    const absl::Status& why = connection.status();
    if (!started_ && (ForGood(why) || Now() >= start_limit_)) return FailStart(why);
    retry_at_ = Now() + backoff_.Next();
    next_step_ = std::min({retry_at_, copier_.next_step(), notes_copier_.next_step()});
    if (!std::exchange(complained_, true)) {
      Log(Severity::kWarning,
          absl::StrCat("group ", subscribe_.group, " cannot consume, and tries again: ", why.message()));
    }
    return;
  }
  connection_ = *std::move(connection);
  connection_->on_frame = [this](const amqp_frame_t& frame) { OnFrame(frame); };
  version_ = connection_->version();
  next_read_ = absl::InfinitePast();
  counted_.clear();
  setup_ = std::make_unique<Channel>(*connection_, static_cast<int>(queues_.size()) + 1);
  setup_->Open();
  // Without the right to make it, it has to be there: binding tells.
  setup_->DeclareExchange(options_.exchange, [this](const absl::Status& status) {
    if (status.code() == absl::StatusCode::kFailedPrecondition) broken_ = status;
    loop_->Notify();  // The queues are joined next.
  });
}

void Member::FailStart(const absl::Status& why) {
  Disconnect(why);
  copier_.End(why);
  notes_copier_.End(absl::CancelledError(why.message()));
  loop_->Remove(this);
  next_step_ = absl::InfiniteFuture();
  absl::MutexLock lock(&mutex_);
  start_status_ = why;
  start_done_ = close_done_ = left_ = true;
}

void Member::Disconnect(const absl::Status& why) {
  if (connection_ == nullptr) return;
  for (Queue& queue : queues_) {
    LoseChannel(queue, /*revoke=*/true);
    queue.channel.reset();
  }
  setup_.reset();
  connection_.reset();
  next_check_ = absl::InfiniteFuture();
  said_goodbye_ = false;
  retry_at_ = next_step_ = Now() + backoff_.Next();
  if (why.code() != absl::StatusCode::kCancelled && !std::exchange(complained_, true)) {
    Log(Severity::kWarning,
        absl::StrCat("group ", subscribe_.group, " does not consume, and connects again: ", why.message()));
  }
  TellAssignment(why);
  sink_->Revoke([](const Record& record) { return static_cast<const RabbitRecord&>(record).revoked; });
  if (!answers_.empty()) sink_->Settled(std::exchange(answers_, {}));
}

// When something of it has changed. Which of the queues that it consumes are given to others, the server does not say.
void Member::TellAssignment(const absl::Status& connection) {
  if (absl::IsCancelled(connection)) return;  // It leaves.
  Assignment now{.group = subscribe_.group};
  for (const Queue& queue : queues_) {
    const bool joined = queue.state != Queue::State::kClosed && queue.state != Queue::State::kJoining;
    if (!joined && now.missing.empty()) now.missing = absl::StrCat("joins the queue ", queue.name);
  }
  if (!connection.ok()) now.missing = absl::StrCat("connects again: ", connection.message());
  if (std::exchange(told_, now) != now) sink_->Assigned(std::move(now));
}

// Once everything is settled: each channel is closed when the server has all of its acknowledgements.
void Member::Leave(absl::Time now) {
  // What is still in hand belongs to handlers that do not return: the server gives it to others.
  if (releases_ > 0 || !copier_.idle() || !notes_copier_.idle()) return;
  bool open = false;
  for (size_t i = 0; i < queues_.size(); ++i) {
    Queue& queue = queues_[i];
    if (queue.state == Queue::State::kClosed || queue.state == Queue::State::kJoining) continue;
    open = true;
    if (queue.state == Queue::State::kClosing || queue.state == Queue::State::kCancelling) continue;
    if (queue.releasing == 0 && queue.pending.empty()) CloseChannel(static_cast<int>(i), now);
  }
  if (open) return;
  if (!std::exchange(said_goodbye_, true)) connection_->Close();
  if (connection_->closed()) loop_->Post([self = shared_from_this()] { self->End(); });
}

void Member::End() {
  const absl::Status why = absl::CancelledError("the subscription is closed");
  copier_.End(why);
  notes_copier_.End(why);
  Disconnect(why);
  loop_->Remove(this);
  if (!answers_.empty()) sink_->Settled(std::exchange(answers_, {}));
  std::vector<Settlement> late;
  {
    absl::MutexLock lock(&mutex_);
    left_ = close_done_ = true;
    late.swap(verdicts_);
  }
  FreeDropped();
  if (!late.empty()) Settle(std::move(late));
}

void Member::AfterRead() {
  if (connection_ != nullptr && broken_.ok()) Deliver(Now());
  if (!answers_.empty()) sink_->Settled(std::exchange(answers_, {}));
  if (broken_.ok()) return;
  const absl::Status why = std::exchange(broken_, absl::OkStatus());
  if (!started_ && ForGood(why)) return FailStart(why);
  if (started_ && why.code() == absl::StatusCode::kFailedPrecondition) sink_->Fail(why);
  Disconnect(why);
}

void Member::Answer(Settlement settlement, const absl::Status& status) {
  settlement.status = status;
  const bool settled = status.ok() || status.code() == absl::StatusCode::kCancelled;
  if (settled && settlement.verdict != Settlement::Verdict::kBegin) {
    Free(static_cast<RabbitRecord*>(settlement.delivery.Take()));
  }
  answers_.push_back(std::move(settlement));
}

void Member::Unlink(RabbitRecord* record) {
  if (record->previous != nullptr) {
    record->previous->next = record->next;
  } else {
    in_hand_ = record->next;
  }
  if (record->next != nullptr) record->next->previous = record->previous;
}

void Member::Free(RabbitRecord* record) {
  Unlink(record);
  if (record->delivered) {
    --queues_[record->queue].in_hand;
    --in_hand_count_;
    in_hand_bytes_ -= record->ByteSize();
  }
  delete record;
}

}  // namespace messaging::rabbitmq
