// Verdicts, the copies they ask for, and commits.
#include <algorithm>
#include <iterator>
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

absl::Time Now() { return Clock::Steady().Now(); }

KafkaRecord* RecordOf(const Settlement& settlement) { return static_cast<KafkaRecord*>(settlement.delivery.record()); }

absl::Status Gone() { return absl::CancelledError("its partition went to another member"); }

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
      settlement.status = Gone();
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
      partition.begun.push_back(std::move(settlement));
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
    Partition& partition = *record->from;
    settlement.status = one->status;
    if (partition.state == Partition::State::kGone) {
      settlement.status = Gone();
    } else if (one->status.ok()) {
      partition.offsets.Done(record->number);
      partition.touched = true;
      settlement.delivery.Take();
      Free(record);
      partition.begun.push_back(std::move(settlement));  // Or a crash would copy it again.
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

// Of a partition that is gone. The engine keeps the record; one without is done, and answered as such.
void Member::CancelBegun(Partition& partition) {
  for (Settlement& begin : std::exchange(partition.begun, {})) {
    if (RecordOf(begin) != nullptr) begin.status = Gone();
    answers_.push_back(std::move(begin));
  }
}

void Member::AnswerAll() {
  if (!answers_.empty()) sink_->Settled(std::exchange(answers_, {}));
}

void Member::CommitIfDue(absl::Time now) {
  if (!asked_.empty()) return;
  const absl::Time due = schedule_.Due(/*somebody_waits=*/claim_wanted_ || AnyBegun());
  if (now < due) {
    wake_at_ = std::min(wake_at_, due);
    return;
  }
  claim_wanted_ = false;
  // Those that are to be left, too: what is in hand there may be called once more.
  Commit(true, [](const Partition& partition) { return partition.state != Partition::State::kGone; });
}

void Member::Commit(bool open, const std::function<bool(const Partition&)>& which) {
  const PartitionList positions(rd_kafka_topic_partition_list_new(16));
  for (const auto& partition : partitions_) {
    if (!partition->touched || !which(*partition)) continue;
    partition->touched = false;
    std::vector<Settlement> begun = std::exchange(partition->begun, {});
    Offsets::Commit commit = partition->offsets.MakeCommit(open);
    if (commit == partition->sent) {  // It is there already.
      std::move(begun.begin(), begun.end(), std::back_inserter(answers_));
      continue;
    }
    rd_kafka_topic_partition_t* const position =
        rd_kafka_topic_partition_list_add(positions.get(), partition->name.c_str(), partition->number);
    position->offset = commit.position;
    // librdkafka frees it.
    position->metadata_size = commit.metadata.size();
    position->metadata = malloc(commit.metadata.size() + 1);
    memcpy(position->metadata, commit.metadata.c_str(), commit.metadata.size() + 1);
    partition->sent = commit;
    asked_.push_back({partition.get(), std::move(commit), std::move(begun)});
  }
  schedule_.OnAsked(Now());
  if (positions->cnt == 0) return;
  const rd_kafka_resp_err_t error =
      rd_kafka_commit_queue(handle_.get(), positions.get(), commits_.get(), nullptr, nullptr);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) OnCommitted(error, nullptr);
}

void Member::PollCommits() {
  while (const Event event{rd_kafka_queue_poll(commits_.get(), 0)}) {
    if (rd_kafka_event_type(event.get()) != RD_KAFKA_EVENT_OFFSET_COMMIT) continue;
    OnCommitted(rd_kafka_event_error(event.get()), rd_kafka_event_topic_partition_list(event.get()));
  }
}

void Member::OnCommitted(rd_kafka_resp_err_t error, const rd_kafka_topic_partition_list_t* partitions) {
  bool refused = false;
  for (auto& [partition, commit, begun] : std::exchange(asked_, {})) {
    const rd_kafka_topic_partition_t* const answer =
        partitions == nullptr
            ? nullptr
            : rd_kafka_topic_partition_list_find(const_cast<rd_kafka_topic_partition_list_t*>(partitions),
                                                 partition->name.c_str(), partition->number);
    const bool stored =
        error == RD_KAFKA_RESP_ERR_NO_ERROR && (answer == nullptr || answer->err == RD_KAFKA_RESP_ERR_NO_ERROR);
    if (stored) {
      partition->offsets.Committed(commit);
    } else {
      refused = true;
      partition->touched = true;
      partition->sent = {};
    }
    const bool gone = partition->state == Partition::State::kGone;
    std::move(begun.begin(), begun.end(), std::back_inserter(stored && !gone ? answers_ : partition->begun));
    if (gone) CancelBegun(*partition);
  }
  if (refused) {
    schedule_.OnRefused(Now());
    claim_wanted_ = true;
  } else {
    connectivity_.OnProgress();
  }
}

bool Member::AnyBegun() const {
  return std::any_of(partitions_.begin(), partitions_.end(), [](const auto& one) { return !one->begun.empty(); });
}

// The last word on partitions that are to be left.
void Member::CommitAndWait(const std::function<bool(const Partition&)>& which, absl::Time limit) {
  const auto wait = [&] {
    while (!asked_.empty() && Now() < limit) {
      PollCommits();
      if (!asked_.empty()) absl::SleepFor(absl::Milliseconds(1));
    }
  };
  wait();
  for (const auto& partition : partitions_) {
    if (which(*partition) && partition->sent.claim > 0) partition->touched = true;  // It was open.
  }
  const auto is_left = [&](const std::unique_ptr<Partition>& one) { return one->touched && which(*one); };
  while (asked_.empty() && std::any_of(partitions_.begin(), partitions_.end(), is_left)) {
    Commit(false, which);
    wait();
    if (Now() >= limit) return;
    if (std::any_of(partitions_.begin(), partitions_.end(), is_left)) absl::SleepFor(CommitSchedule::kPause / 4);
  }
}

}  // namespace messaging::kafka
