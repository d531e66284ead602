// What a subscription is given, and what becomes of it.
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "messaging/broker/clock.h"
#include "rabbitmq/member.h"
#include "rabbitmq/topology.h"

namespace messaging::rabbitmq {
namespace {

// A member that lost its connection comes back and says what it had: so long others wait before they take what is
// redelivered for what a crash left behind.
constexpr absl::Duration kGrace = absl::Milliseconds(300);
constexpr absl::Duration kAckWait = absl::Milliseconds(50);  // For one acknowledgement of several.
constexpr size_t kMostOwn = 100'000;

}  // namespace

bool Member::IsStale(const RabbitRecord& record) const {
  return record.channel_life != queues_[record.queue].life || record.revoked;
}

void Member::Deliver(absl::Time now) {
  Room room = sink_->room();
  next_check_ = absl::InfiniteFuture();
  std::vector<Delivery> batch;
  for (size_t n = 0; n < queues_.size(); ++n) {
    Queue& queue = queues_[(next_queue_ + n) % queues_.size()];
    const bool reads = room.Reads(subscribe_.topics[queue.topic].topic);
    queue.closed_since = reads ? absl::InfiniteFuture() : std::min(queue.closed_since, now);
    const bool gives = queue.state == Queue::State::kConsuming || queue.state == Queue::State::kCancelling ||
                       queue.state == Queue::State::kCancelled;
    while (gives && reads && is_fetching_ && !queue.pending.empty() && room.messages > 0 && room.bytes > 0) {
      RabbitRecord* const record = queue.pending.front();
      if (!Check(queue, *record, now)) break;
      queue.pending.pop_front();
      const size_t bytes = record->ByteSize();
      --room.messages;
      room.bytes -= std::min(room.bytes, bytes);
      record->delivered = true;
      ++queue.in_hand;
      ++in_hand_count_;
      in_hand_bytes_ += bytes;
      batch.emplace_back(record);
    }
  }
  next_queue_ = (next_queue_ + 1) % queues_.size();
  if (batch.empty()) return;
  absl::MutexLock lock(&delivering_);
  if (fetching_) sink_->Deliver(std::move(batch));
  // Else they are dropped here, which gives them back.
}

// Whether what is known of a message suffices to hand it over: of one that is redelivered, what the notes say.
bool Member::Check(Queue& queue, RabbitRecord& record, absl::Time now) {
  if (record.checked) return true;
  Notes& notes = *notes_[queue.topic];
  if (!notes.caught_up(record.arrived)) {
    if (notes.Catch(now, Publisher::kFirstFree + queue.topic)) loop_->Notify();
    return false;
  }
  if (record.identity.empty()) record.identity = IdentityOf(record);
  const Note* const note = notes.Find(record.identity);
  auto& own = own_[queue.topic];
  const auto mine = own.find(record.identity);
  const bool known = (mine != own.end() && record.deliveries <= mine->second + 1) ||
                     (note != nullptr && note->released_at >= 0 && record.deliveries == note->released_at + 1);
  if (!known && now < record.arrived + kGrace) {
    next_check_ = std::min(next_check_, record.arrived + kGrace);
    return false;
  }
  if (mine != own.end()) own.erase(mine);
  record.checked = true;
  record.suspect = record.suspect || !known;
  if (note == nullptr || note->attempts == 0) return true;
  record.attempts = std::max(record.attempts, note->attempts);
  record.noted_handler = note->handler;
  if (record.handler.empty()) record.attempts_of = record.noted_handler;
  record.not_before = note->not_before;
  return true;
}

// Those that were not delivered. What went back unchecked would be a suspect where it comes next.
bool Member::CheckPending(Queue& queue, absl::Time now) {
  bool all = true;
  for (RabbitRecord* record : queue.pending) all = Check(queue, *record, now) && all;
  return all;
}

void Member::TakeVerdicts() {
  std::vector<Settlement> verdicts;
  std::vector<RabbitRecord*> dropped;
  {
    absl::MutexLock lock(&mutex_);
    verdicts.swap(verdicts_);
    dropped.swap(dropped_);
  }
  std::vector<Settlement> releases;
  for (Settlement& settlement : verdicts) {
    auto* const record = static_cast<RabbitRecord*>(settlement.delivery.record());
    if (record->revoked) {
      Answer(std::move(settlement), absl::CancelledError("the server gives it to somebody else"));
    } else if (settlement.verdict == Settlement::Verdict::kRelease) {
      releases.push_back(std::move(settlement));
    } else if (settlement.verdict == Settlement::Verdict::kBegin) {
      Begin(std::move(settlement));
    } else if (settlement.copies != nullptr && !settlement.copies->empty()) {
      StoreCopies(std::move(settlement));
    } else {
      MarkDone(*record);
      Answer(std::move(settlement), absl::OkStatus());
    }
  }
  if (!releases.empty() || !dropped.empty()) Release(std::move(releases), std::move(dropped));
}

void Member::MarkDone(RabbitRecord& record) {
  if (IsStale(record)) return;
  Queue& queue = queues_[record.queue];
  queue.out[record.tag - queue.first_out] = Queue::Out::kDone;
  if (queue.done++ == 0) queue.done_since = Clock::Steady().Now();
}

// At once: as long as the server does not know it, a crash makes its copies once more.
void Member::Acknowledge(const RabbitRecord& record) {
  if (IsStale(record)) return;
  Queue& queue = queues_[record.queue];
  queue.channel->Ack(record.tag, /*multiple=*/false);
  queue.out[record.tag - queue.first_out] = Queue::Out::kSettled;
  NoteSingle(queue, Clock::Steady().Now());
}

// All up to the first that is not handled, by one acknowledgement. The others wait a little for that one; then they are
// acknowledged one by one. The server knows no tag twice: what is acknowledged for several is the last of those that it
// still waits for.
void Member::SendAcks(Queue& queue, absl::Time now, bool all) {
  if (queue.done == 0) return;
  uint64_t last = 0;
  for (; !queue.out.empty() && queue.out.front() != Queue::Out::kOpen; queue.out.pop_front(), ++queue.first_out) {
    if (queue.out.front() != Queue::Out::kDone) continue;
    last = queue.first_out;
    --queue.done;
  }
  if (last != 0) {
    queue.channel->Ack(last, /*multiple=*/true);
    queue.done_since = now;
  }
  if (queue.done == 0) return;
  if (!all && now < queue.done_since + kAckWait) {
    next_check_ = std::min(next_check_, queue.done_since + kAckWait);
    return;
  }
  for (size_t i = 0; i < queue.out.size(); ++i) {
    if (queue.out[i] != Queue::Out::kDone) continue;
    queue.channel->Ack(queue.first_out + i, /*multiple=*/false);
    queue.out[i] = Queue::Out::kSettled;
    NoteSingle(queue, now);
  }
  queue.done = 0;
}

void Member::NoteSingle(Queue& queue, absl::Time now) {
  if (now > queue.single_at + kSinglesSettle) queue.singles = 0;
  ++queue.singles;
  queue.single_at = now;
}

// First the copies, each confirmed, then the original.
void Member::StoreCopies(Settlement settlement) {
  auto copying = std::make_shared<Copying>();
  copying->settlement = std::move(settlement);
  const auto& record = *static_cast<const RabbitRecord*>(copying->settlement.delivery.record());
  const Queue& queue = queues_[record.queue];
  const TopicPlan& plan = subscribe_.topics[queue.topic];
  copying->open = copying->settlement.copies->size();
  for (const Copy& copy : *copying->settlement.copies) {
    const bool dead = copy.kind == Copy::Kind::kDeadLetter;
    Copier::Job job;
    job.message = std::make_unique<Encoded>(record, copy, dead ? std::string_view(subscribe_.group) : "");
    if (dead) {
      job.place = DeadQueue(plan.topic, subscribe_.group, version_);
    } else if (copy.delay <= absl::ZeroDuration()) {
      job.place = {.name = queue.name};
      job.may_make = false;
    } else {
      const auto rung = std::lower_bound(plan.retry_rungs.begin(), plan.retry_rungs.end(), copy.delay);
      const absl::Duration delay = rung == plan.retry_rungs.end() ? copy.delay : *rung;
      job.place = DelayQueue(plan.topic, subscribe_.group, queue.partition, delay, queue.name, version_);
      job.due = Clock::Steady().Now() + delay;
    }
    job.done = [this, copying](const absl::Status& status) {
      copying->status.Update(status);
      if (--copying->open > 0) return;
      auto& record = *static_cast<RabbitRecord*>(copying->settlement.delivery.record());
      if (record.revoked) copying->status = absl::CancelledError("the server gives it to somebody else");
      if (copying->status.ok()) Acknowledge(record);
      Answer(std::move(copying->settlement), copying->status);
      loop_->Notify();
    };
    copier_.Publish(std::move(job));
  }
}

void Member::Begin(Settlement settlement) {
  auto kept = std::make_shared<Settlement>(std::move(settlement));
  auto& record = *static_cast<RabbitRecord*>(kept->delivery.record());
  const Copy& begin = kept->copies->front();
  if (record.identity.empty()) record.identity = IdentityOf(record);
  const absl::Time not_before = begin.delay > absl::ZeroDuration() ? absl::Now() + begin.delay : absl::InfinitePast();
  notes_[queues_[record.queue].topic]->Begin(
      record.identity, begin.failure.attempts, not_before, begin.failure.handler,
      [this, kept](const absl::Status& status) {
        const auto& record = *static_cast<const RabbitRecord*>(kept->delivery.record());
        Answer(std::move(*kept),
               record.revoked ? absl::CancelledError("the server gives it to somebody else") : status);
        loop_->Notify();
      });
}

// Back to the queue. A note first, for whoever gets it next: it was in good hands. Not of suspects.
void Member::Release(std::vector<Settlement> settlements, std::vector<RabbitRecord*> records) {
  struct OfTopic {
    std::vector<Settlement> settlements;
    std::vector<RabbitRecord*> records;
    std::vector<Released> notes;
  };
  std::map<int, OfTopic> topics;
  auto add = [&](RabbitRecord& record) -> OfTopic& {
    OfTopic& topic = topics[queues_[record.queue].topic];
    if (!record.suspect && record.checked && !IsStale(record)) {
      if (record.identity.empty()) record.identity = IdentityOf(record);
      topic.notes.push_back({record.identity, record.deliveries});
    }
    return topic;
  };
  for (Settlement& settlement : settlements) {
    add(*static_cast<RabbitRecord*>(settlement.delivery.record())).settlements.push_back(std::move(settlement));
  }
  for (RabbitRecord* record : records) add(*record).records.push_back(record);
  for (auto& [number, topic] : topics) {
    auto kept = std::make_shared<OfTopic>(std::move(topic));
    ++releases_;
    auto done = [this, kept](const absl::Status&) {  // Without the note they are suspects.
      --releases_;
      Requeue(kept->settlements, kept->records);
      loop_->Notify();
    };
    if (kept->notes.empty() || connection_ == nullptr) {
      done(absl::OkStatus());
    } else {
      notes_[number]->Release(kept->notes, done);
    }
  }
}

void Member::Requeue(std::vector<Settlement>& settlements, std::vector<RabbitRecord*>& records) {
  // Those of one queue in the order in which they came.
  std::vector<RabbitRecord*> all = records;
  for (const Settlement& settlement : settlements) {
    all.push_back(static_cast<RabbitRecord*>(settlement.delivery.record()));
  }
  std::sort(all.begin(), all.end(), [](const RabbitRecord* a, const RabbitRecord* b) {
    return std::pair(a->queue, a->tag) < std::pair(b->queue, b->tag);
  });
  std::map<int, size_t> delivered;
  for (const RabbitRecord* record : all) delivered[record->queue] += record->delivered ? 1 : 0;
  for (const RabbitRecord* record : all) {
    const Queue& queue = queues_[record->queue];
    // Of a partition it would come again to this member at once; and where no handler runs any more the channel is
    // closed next. That gives all back to where it was; what is given back singly goes to the queue's end.
    const bool by_closing = queue.state == Queue::State::kLeaving ||
                            (!is_fetching_ && (queue.partitioned() || queue.in_hand == delivered[record->queue]));
    if (!by_closing) GiveBack(*record);
  }
  for (RabbitRecord* record : records) {
    if (!record->delivered && !IsStale(*record)) --queues_[record->queue].releasing;
    Free(record);
  }
  for (Settlement& settlement : settlements) {
    const auto& record = *static_cast<const RabbitRecord*>(settlement.delivery.record());
    Answer(std::move(settlement), record.revoked ? absl::CancelledError("it went back") : absl::OkStatus());
  }
}

void Member::GiveBack(const RabbitRecord& record) {
  if (IsStale(record)) return;
  Queue& queue = queues_[record.queue];
  queue.channel->Requeue(record.tag, /*multiple=*/false);
  queue.out[record.tag - queue.first_out] = Queue::Out::kSettled;
  NoteSingle(queue, Clock::Steady().Now());
}

void Member::ReleasePending(Queue& queue) {
  if (queue.pending.empty()) return;
  std::vector<RabbitRecord*> records(queue.pending.begin(), queue.pending.end());
  queue.pending.clear();
  queue.releasing += records.size();
  Release({}, std::move(records));
}

// For the others, and for this member.
void Member::NoteOwn(int topic, const std::vector<Released>& messages) {
  auto& own = own_[topic];
  if (own.size() > kMostOwn) own.clear();
  for (const Released& message : messages) own[message.identity] = message.deliveries;
  notes_[topic]->Release(messages, [](const absl::Status&) {});
}

}  // namespace messaging::rabbitmq
