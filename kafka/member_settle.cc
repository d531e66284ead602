// Verdicts, the copies they ask for, and commits.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kafka/letters.h"
#include "kafka/member.h"
#include "kafka/places.h"
#include "messaging/broker/clock.h"
#include "messaging/broker/names.h"
#include "messaging/log.h"

namespace messaging::kafka {
namespace {

constexpr absl::Duration kCopyLimit = absl::Seconds(30);
constexpr absl::Duration kCommitAgain = absl::Milliseconds(200);

absl::Time Now() { return Clock::Steady().Now(); }

KafkaRecord* RecordOf(const Settlement& settlement) { return static_cast<KafkaRecord*>(settlement.delivery.record()); }

}  // namespace

void Member::TakeVerdicts() {
  std::vector<Settlement> verdicts;
  std::vector<KafkaRecord*> dropped;
  {
    absl::MutexLock lock(&mutex_);
    verdicts.swap(verdicts_);
    dropped.swap(dropped_);
  }
  for (Settlement& settlement : verdicts) {
    KafkaRecord* const record = RecordOf(settlement);
    Partition& partition = *record->from;
    if (partition.state == Partition::State::kGone) {
      settlement.status = absl::CancelledError("its partition went to another member");
      if (settlement.verdict != Settlement::Verdict::kBegin) {
        if (options_->observer != nullptr) options_->observer->OnLateSettlement(partition.plan->topic);
        settlement.delivery.Take();
        Free(record);
      }
    } else if (settlement.verdict == Settlement::Verdict::kBegin) {
      const Copy& begin = settlement.copies->front();
      partition.touched = true;
      partition.offsets.SetNote(
          record->position,
          {.attempts = begin.failure.attempts,
           .not_before = begin.delay > absl::ZeroDuration() ? absl::Now() + begin.delay : absl::InfinitePast(),
           .handler = HandlerHash(begin.failure.handler)});
      begins_.push_back(std::move(settlement));
      continue;
    } else if (settlement.verdict == Settlement::Verdict::kRelease) {
      settlement.delivery.Take();
      GiveBack(record);
    } else if (settlement.copies != nullptr && !settlement.copies->empty()) {
      Store(std::move(settlement));
      continue;
    } else {
      settlement.delivery.Take();
      partition.offsets.Done(record->number);
      partition.touched = true;
      if (record->suspect) claim_wanted_ = true;  // So that no crash counts for it any more.
      Free(record);
    }
    answers_.push_back(std::move(settlement));
  }
  for (KafkaRecord* record : dropped) GiveBack(record);
}

// Nobody else can be given it while the partition is ours.
void Member::GiveBack(KafkaRecord* record) {
  bool fetching = false;
  {
    absl::MutexLock lock(&delivering_);
    fetching = fetching_;
  }
  if (fetching && record->from->state == Partition::State::kOwned) {
    record->from->returned.push_back(record);
  } else {
    Free(record);
  }
}

void Member::Store(Settlement settlement) {
  KafkaRecord& record = *RecordOf(settlement);
  const TopicPlan& plan = *record.from->plan;
  ++storing_;
  struct Shared {
    absl::Mutex mutex;
    std::unique_ptr<Storing> storing;
  };
  auto shared = std::make_shared<Shared>();
  shared->storing = std::make_unique<Storing>();
  const std::vector<Copy> copies = std::move(*settlement.copies);
  std::vector<OutgoingPtr> messages;
  const absl::Time now = absl::Now();
  for (const Copy& copy : copies) {
    const bool dead = copy.kind == Copy::Kind::kDeadLetter;
    messages.push_back(
        std::make_shared<Outgoing>(CopyMessage(record, copy, subscribe_.group,
                                               dead ? DeadLetterPlace(plan.topic, subscribe_.group)
                                                    : PlaceForDelay(plan, subscribe_.group, copy.delay),
                                               dead ? LetterKey(*record.message, copy.failure.handler) : "", now),
                                   Now() + kCopyLimit, nullptr));
  }
  *settlement.copies = copies;  // Should one be refused, all are asked for again.
  shared->storing->left = static_cast<int>(messages.size());
  shared->storing->settlement = std::move(settlement);
  for (const OutgoingPtr& message : messages) {
    message->OnResult([self = shared_from_this(), shared](const Outgoing::Result& result) {
      std::unique_ptr<Storing> done;
      {
        absl::MutexLock lock(&shared->mutex);
        shared->storing->status.Update(result.status());
        if (--shared->storing->left == 0) done = std::move(shared->storing);
      }
      if (done == nullptr) return;
      {
        absl::MutexLock lock(&self->mutex_);
        self->stored_.push_back(std::move(done));
      }
      self->Notify();
    });
    producer_->Publish(message);
  }
}

void Member::FinishStored() {
  std::vector<std::unique_ptr<Storing>> stored;
  {
    absl::MutexLock lock(&mutex_);
    stored.swap(stored_);
  }
  for (std::unique_ptr<Storing>& one : stored) {
    --storing_;
    Settlement settlement = std::move(one->settlement);
    KafkaRecord* const record = RecordOf(settlement);
    settlement.status = one->status;
    if (record->from->state == Partition::State::kGone) {
      settlement.status = absl::CancelledError("its partition went to another member");
    } else if (one->status.ok()) {
      record->from->offsets.Done(record->number);
      record->from->touched = true;
      settlement.delivery.Take();
      Free(record);
      begins_.push_back(std::move(settlement));  // Answered when the server knows: or a crash would copy it again.
      continue;
    } else {
      answers_.push_back(std::move(settlement));
      continue;
    }
    settlement.delivery.Take();
    Free(record);
    answers_.push_back(std::move(settlement));
  }
}

void Member::AnswerAll() {
  if (!answers_.empty()) sink_->Settled(std::exchange(answers_, {}));
}

void Member::CommitIfDue(absl::Time now) {
  if (commits_asked_ > 0) return;
  const bool at_once = !begins_.empty() || claim_wanted_;
  if (now < next_commit_) {
    // After a refusal nothing is asked for a while.
    if (!at_once || next_commit_ > now + options_->commit_interval) {
      wake_at_ = std::min(wake_at_, next_commit_);
      return;
    }
  }
  claim_wanted_ = false;
  Commit(true, [](const Partition& partition) { return partition.state == Partition::State::kOwned; });
}

void Member::Commit(bool open, const std::function<bool(const Partition&)>& which) {
  auto asked = std::make_unique<CommitAsked>();
  const PartitionList positions(rd_kafka_topic_partition_list_new(16));
  for (const auto& partition : partitions_) {
    if (!partition->touched || !which(*partition)) continue;
    partition->touched = false;
    Offsets::Commit commit = partition->offsets.MakeCommit(open);
    if (commit == partition->sent) continue;
    rd_kafka_topic_partition_t* const position =
        rd_kafka_topic_partition_list_add(positions.get(), partition->name.c_str(), partition->number);
    position->offset = commit.position;
    // librdkafka frees it.
    position->metadata_size = commit.metadata.size();
    position->metadata = malloc(commit.metadata.size() + 1);
    memcpy(position->metadata, commit.metadata.c_str(), commit.metadata.size() + 1);
    partition->sent = commit;
    asked->partitions.emplace_back(partition.get(), std::move(commit));
  }
  asked->begins = std::exchange(begins_, {});
  next_commit_ = Now() + options_->commit_interval;
  if (positions->cnt == 0) {
    for (Settlement& begin : asked->begins) answers_.push_back(std::move(begin));  // It is there already.
    return;
  }
  ++commits_asked_;
  const rd_kafka_resp_err_t error =
      rd_kafka_commit_queue(handle_.get(), positions.get(), commits_.get(), nullptr, asked.get());
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    OnCommitted(*asked, error, nullptr);
  } else {
    (void)asked.release();  // It comes back with the answer.
  }
}

void Member::PollCommits() {
  while (const Event event{rd_kafka_queue_poll(commits_.get(), 0)}) {
    if (rd_kafka_event_type(event.get()) != RD_KAFKA_EVENT_OFFSET_COMMIT) continue;
    const std::unique_ptr<CommitAsked> asked(static_cast<CommitAsked*>(rd_kafka_event_opaque(event.get())));
    OnCommitted(*asked, rd_kafka_event_error(event.get()), rd_kafka_event_topic_partition_list(event.get()));
  }
}

void Member::OnCommitted(CommitAsked& asked, rd_kafka_resp_err_t error,
                         const rd_kafka_topic_partition_list_t* partitions) {
  --commits_asked_;
  bool refused = false;
  for (auto& [partition, commit] : asked.partitions) {
    const rd_kafka_topic_partition_t* const answer =
        partitions == nullptr
            ? nullptr
            : rd_kafka_topic_partition_list_find(const_cast<rd_kafka_topic_partition_list_t*>(partitions),
                                                 partition->name.c_str(), partition->number);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR && (answer == nullptr || answer->err == RD_KAFKA_RESP_ERR_NO_ERROR)) {
      partition->offsets.Committed(commit);
      continue;
    }
    refused = true;
    partition->touched = true;
    partition->sent = {};
  }
  if (refused) {
    next_commit_ = Now() + kCommitAgain;
    claim_wanted_ = true;
  } else {
    connectivity_.OnProgress();
  }
  for (Settlement& begin : asked.begins) {
    KafkaRecord* const record = RecordOf(begin);  // Null: it is done, and answered as such.
    if (record != nullptr && record->from->state == Partition::State::kGone) {
      begin.status = absl::CancelledError("its partition went to another member");  // The engine keeps the record.
    } else if (refused) {
      begins_.push_back(std::move(begin));
      continue;
    }
    answers_.push_back(std::move(begin));
  }
}

// The last word on partitions that are to be left.
void Member::CommitAndWait(const std::function<bool(const Partition&)>& which, absl::Time limit) {
  const auto wait = [&] {
    while (commits_asked_ > 0 && Now() < limit) {
      PollCommits();
      if (commits_asked_ > 0) absl::SleepFor(absl::Milliseconds(1));
    }
  };
  wait();
  for (const auto& partition : partitions_) {
    if (which(*partition) && partition->sent.claim > 0) partition->touched = true;  // It was open.
  }
  const auto is_left = [&](const std::unique_ptr<Partition>& one) { return one->touched && which(*one); };
  while (commits_asked_ == 0 && std::any_of(partitions_.begin(), partitions_.end(), is_left)) {
    Commit(false, which);
    wait();
    if (Now() >= limit) return;
    if (std::any_of(partitions_.begin(), partitions_.end(), is_left)) absl::SleepFor(kCommitAgain / 4);
  }
}

}  // namespace messaging::kafka
