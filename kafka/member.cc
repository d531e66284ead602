// A subscription's life: joining, its thread's round, leaving.
#include "kafka/member.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kafka/admin.h"
#include "messaging/broker/clock.h"
#include "messaging/log.h"

namespace messaging::kafka {
namespace {

constexpr absl::Duration kRound = absl::Milliseconds(200);  // It looks at least so often: membership needs that, too.
constexpr absl::Duration kLeaveLimit = absl::Seconds(3);

absl::Time Now() { return Clock::Steady().Now(); }

void OnReadable(rd_kafka_t*, void* member) { static_cast<Member*>(member)->Notify(); }

// They do not pass by themselves.
bool ForGood(const absl::Status& status) {
  return absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status) || absl::IsFailedPrecondition(status) ||
         absl::IsInvalidArgument(status) || absl::IsNotFound(status);
}

}  // namespace

Member::Member(std::shared_ptr<const KafkaOptions> options, std::shared_ptr<Producer> producer,
               SubscribeOptions subscribe, DeliverySink* sink)
    : options_(std::move(options)),
      producer_(std::move(producer)),
      subscribe_(std::move(subscribe)),
      sink_(sink),
      event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      connectivity_(*options_),
      schedule_(options_->commit_interval) {}

Member::~Member() {
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();
  } else if (thread_.joinable()) {
    thread_.join();
  }
  close(event_);
}

void Member::Notify() {
  if (notified_.exchange(true)) return;
  const uint64_t one = 1;
  (void)!write(event_, &one, sizeof(one));
}

absl::Status Member::Start() {
  absl::StatusOr<Handle> handle =
      MakeHandle(RD_KAFKA_CONSUMER, *options_,
                 {{"group.id", subscribe_.group},
                  {"enable.auto.commit", "false"},
                  {"enable.auto.offset.store", "false"},
                  {"auto.offset.reset", "earliest"}},
                 RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_OFFSET_COMMIT | RD_KAFKA_EVENT_ERROR);
  if (!handle.ok()) return handle.status();
  handle_ = *std::move(handle);
  rd_kafka_poll_set_consumer(handle_.get());
  events_.reset(rd_kafka_queue_get_consumer(handle_.get()));
  messages_.reset(rd_kafka_queue_new(handle_.get()));
  commits_.reset(rd_kafka_queue_new(handle_.get()));
  for (const Queue* queue : {&events_, &messages_, &commits_}) {
    rd_kafka_queue_cb_event_enable(queue->get(), OnReadable, this);
  }
  {
    absl::MutexLock lock(&delivering_);
    fetching_ = true;
  }
  thread_ = std::thread([self = shared_from_this()] { self->Run(); });
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&start_done_));
  return start_status_;
}

void Member::FinishStart(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  if (std::exchange(start_done_, true)) return;
  start_status_ = std::move(status);
}

void Member::Settle(std::vector<Settlement> batch) {
  {
    absl::MutexLock lock(&mutex_);
    if (!left_) {
      verdicts_.insert(verdicts_.end(), std::make_move_iterator(batch.begin()), std::make_move_iterator(batch.end()));
      batch.clear();
    }
  }
  if (batch.empty()) return Notify();
  for (Settlement& settlement : batch) {  // Too late: what it held went back when it left.
    settlement.status = absl::CancelledError("the subscription is closed");
    if (settlement.verdict != Settlement::Verdict::kBegin) Drop(settlement.delivery.Take());
  }
  sink_->Settled(std::move(batch));
}

void Member::Drop(Record* record) {
  auto* const own = static_cast<KafkaRecord*>(record);
  bool last = false;
  {
    absl::MutexLock lock(&mutex_);
    if (!left_) {
      dropped_.push_back(own);
    } else {
      Free(own);
      last = live_ == 0;
    }
  }
  // librdkafka's objects end with the last message; that may take a moment.
  if (last) std::thread([self = shared_from_this()] { self->FreeLeftovers(); }).detach();
  Notify();
}

void Member::StopFetching() {
  {
    absl::MutexLock lock(&delivering_);
    fetching_ = false;
  }
  Notify();
}

absl::Status Member::Close(absl::Time deadline) {
  StopFetching();
  {
    absl::MutexLock lock(&mutex_);
    if (!start_done_) return absl::OkStatus();  // It was never started.
    close_by_ = deadline;
  }
  closing_ = true;
  Notify();
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    if (!mutex_.AwaitWithDeadline(absl::Condition(&close_done_), deadline + kLeaveLimit)) {
      return absl::DeadlineExceededError(absl::StrCat(options_->Address(), " did not answer in time"));
    }
    status = close_status_;
  }
  if (thread_.joinable()) thread_.join();  // A handler that never returns may keep this object for good.
  return status;
}

absl::StatusOr<int64_t> Member::Backlog() {
  KafkaAdmin admin(options_, producer_);
  int64_t waiting = 0;
  for (const TopicPlan& plan : subscribe_.topics) {
    const absl::StatusOr<int64_t> of_topic = admin.Backlog(plan.topic, subscribe_.group);
    if (!of_topic.ok()) return of_topic.status();
    waiting += *of_topic;
  }
  return waiting;
}

// The member's thread.

void Member::Run() {
  const absl::Time limit = Now() + options_->start_timeout;
  absl::Status joined = Join(limit);
  while (joined.ok() && StepOnce()) {
    absl::MutexLock lock(&mutex_);
    if (start_done_ || Now() < limit) continue;
    joined = absl::UnavailableError(absl::StrCat(options_->Address(), ": group ", subscribe_.group,
                                                 " could not be joined within ",
                                                 absl::FormatDuration(options_->start_timeout)));
  }
  FinishStart(joined);
  Leave();
}

absl::Status Member::Join(absl::Time limit) {
  while (true) {
    absl::Status status = PrepareTopics(limit);
    PollEvents();
    if (!connectivity_.denied().ok()) return connectivity_.denied();
    if (status.ok()) break;
    if (ForGood(status) || Now() >= limit || closing_) return status;
  }
  const PartitionList topics(rd_kafka_topic_partition_list_new(static_cast<int>(plans_.size())));
  for (const auto& [name, plan] : plans_) {
    rd_kafka_topic_partition_list_add(topics.get(), name.c_str(), RD_KAFKA_PARTITION_UA);
  }
  return StatusOf(rd_kafka_subscribe(handle_.get(), topics.get()), *options_, "subscribing");
}

// False: it is to leave.
bool Member::StepOnce() {
  notified_ = false;
  wake_at_ = Now() + kRound;
  PollEvents();
  PollCommits();
  TakeVerdicts();
  FinishStored();
  StepRebalance();
  Read();
  CommitIfDue(Now());
  AnswerAll();
  std::erase_if(partitions_, [this](const std::unique_ptr<Partition>& partition) {
    return partition->state == Partition::State::kGone && partition->in_hand == 0 && asked_.empty();
  });
  if (closing_) {
    absl::MutexLock lock(&mutex_);
    const bool settled = verdicts_.empty() && dropped_.empty() && storing_ == 0 && !AnyBegun() && asked_.empty();
    if (settled || Now() >= close_by_) return false;
  }
  {
    absl::MutexLock lock(&mutex_);
    if (start_done_ && !start_status_.ok()) return false;
  }
  WaitForWork();
  return true;
}

void Member::WaitForWork() {
  if (notified_) return;
  const absl::Duration wait = std::clamp(wake_at_ - Now(), absl::ZeroDuration(), kRound);
  pollfd wanted = {.fd = event_, .events = POLLIN, .revents = 0};
  poll(&wanted, 1, static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(wait, absl::Milliseconds(1)))));
  uint64_t count = 0;
  (void)!read(event_, &count, sizeof(count));
}

void Member::PollEvents() {
  while (Event event{rd_kafka_queue_poll(events_.get(), 0)}) {
    switch (rd_kafka_event_type(event.get())) {
      case RD_KAFKA_EVENT_REBALANCE:
        connectivity_.OnProgress();
        rebalance_ = std::move(event);
        revoke_by_ = absl::InfiniteFuture();
        break;
      case RD_KAFKA_EVENT_ERROR:
        OnError(rd_kafka_event_error(event.get()), rd_kafka_event_error_string(event.get()));
        break;
      default:
        break;
    }
  }
}

void Member::OnError(rd_kafka_resp_err_t error, const char* text) {
  connectivity_.OnError(error, text);
  absl::Status status = StatusOf(error, *options_, "", text);
  if (error == RD_KAFKA_RESP_ERR__FATAL) {
    char why[512] = "";
    rd_kafka_fatal_error(handle_.get(), why, sizeof(why));
    status = absl::FailedPreconditionError(absl::StrCat(options_->Address(), ": ", why));
  }
  // A topic that is gone may come again.
  if (!ForGood(status) || absl::IsNotFound(status)) return;
  {
    absl::MutexLock lock(&mutex_);
    if (!start_done_) {
      start_done_ = true;
      start_status_ = status;
      return;
    }
  }
  // Credentials may be mended while it runs; what it may not do at all is another matter.
  if (!absl::IsUnauthenticated(status)) sink_->Fail(std::move(status));
}

void Member::Leave() {
  absl::Time limit;
  {
    absl::MutexLock lock(&mutex_);
    limit = std::min(std::max(close_by_, Now()), Now() + kLeaveLimit);
  }
  CommitAndWait([](const Partition& partition) { return partition.state != Partition::State::kGone; }, limit);
  const bool flushed = asked_.empty();
  for (const auto& partition : partitions_) {
    if (partition->state != Partition::State::kGone) Abandon(partition.get());
  }
  rebalance_.reset();
  const Error error(rd_kafka_consumer_close_queue(handle_.get(), events_.get()));
  while (error == nullptr && rd_kafka_consumer_closed(handle_.get()) == 0 && Now() < limit + kLeaveLimit) {
    const Event event(rd_kafka_queue_poll(events_.get(), 20));
    if (event != nullptr && rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_REBALANCE) {
      rd_kafka_assign(handle_.get(), nullptr);
    }
  }
  PollCommits();
  if (!asked_.empty()) OnCommitted(RD_KAFKA_RESP_ERR__TIMED_OUT, nullptr);
  AnswerAll();
  bool empty = false;
  {
    absl::MutexLock lock(&mutex_);
    left_ = true;
    for (KafkaRecord* record : std::exchange(dropped_, {})) Free(record);
    empty = live_ == 0 && verdicts_.empty();
  }
  // What came too late: Settle answers it as it does from now on.
  std::vector<Settlement> late;
  {
    absl::MutexLock lock(&mutex_);
    late.swap(verdicts_);
  }
  if (empty) FreeLeftovers();
  if (!late.empty()) Settle(std::move(late));
  absl::MutexLock lock(&mutex_);
  close_status_ = flushed ? absl::OkStatus()
                          : absl::DeadlineExceededError(absl::StrCat(options_->Address(), " did not answer in time"));
  close_done_ = true;
}

// librdkafka's objects, once no record points into them.
void Member::FreeLeftovers() {
  for (const auto& partition : partitions_) partition->waiting.clear();
  for (const Queue* queue : {&events_, &messages_, &commits_}) {
    rd_kafka_queue_cb_event_enable(queue->get(), nullptr, nullptr);
  }
  events_.reset();
  messages_.reset();
  commits_.reset();
  rd_kafka_destroy_flags(handle_.release(), RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

}  // namespace messaging::kafka
