// From the server to the sink.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kafka/member.h"
#include "messaging/broker/clock.h"
#include "messaging/log.h"

namespace messaging::kafka {
namespace {

constexpr size_t kBatch = 500;         // Messages given to the sink at a time.
constexpr size_t kMaxWaiting = 2'000;  // Read, and not claimed yet: then the shared queue is not read.
constexpr size_t kAhead = 64;          // Of each partition that is read alone.
constexpr int kMaxClosed = 8;          // Partitions whose messages are kept while their topics are closed.
constexpr size_t kMaxSpan = 50'000;    // Done behind one that is in hand: then its partition waits.
constexpr absl::Duration kLongWait = absl::Seconds(10);  // A retry that is due later is not kept in memory.

absl::Time Now() { return Clock::Steady().Now(); }

void OnReadable(rd_kafka_t*, void* opaque) {
  auto* const partition = static_cast<Partition*>(opaque);
  partition->readable = true;
  partition->member->Notify();
}

}  // namespace

// While there is room, and something to be had.
void Member::Read() {
  bool more = true;
  while (more) {
    absl::MutexLock lock(&delivering_);
    if (!fetching_) return;
    const Room room = sink_->room();
    if (room.messages == 0 || room.bytes == 0) return;
    CloseTopics(room);
    const auto by_bytes = static_cast<size_t>(static_cast<double>(room.bytes) / mean_bytes_);
    const size_t count = std::clamp<size_t>(std::min(room.messages, by_bytes), 1, kBatch);
    std::vector<Delivery> out;
    ReadRetries(count, out);
    more = out.size() >= count || (waiting_ < kMaxWaiting && ReadShared(count - out.size(), out));
    if (!out.empty()) sink_->Deliver(std::move(out));
  }
}

// False: there is no more at the moment.
bool Member::ReadShared(size_t count, std::vector<Delivery>& out) {
  batch_.resize(kBatch);
  const ssize_t read = rd_kafka_consume_batch_queue(messages_.get(), 0, batch_.data(), count);
  out.reserve(out.size() + static_cast<size_t>(std::max<ssize_t>(read, 0)));
  shared_read_ += std::max<ssize_t>(read, 0);
  size_t bytes = 0;
  for (ssize_t i = 0; i < read; ++i) {
    bytes += batch_[i]->len + batch_[i]->key_len + sizeof(Record);
    Take(MessagePtr(batch_[i]), out);
  }
  if (read > 0) mean_bytes_ += (static_cast<double>(bytes) / static_cast<double>(read) - mean_bytes_) * 0.3;
  if (read == static_cast<ssize_t>(count)) return true;
  bool more = false;
  for (const auto& partition : partitions_) {
    if (std::exchange(partition->shared_until, 0) > 0 && !partition->closed) more = true;
  }
  return more;
}

void Member::Take(MessagePtr message, std::vector<Delivery>& out) {
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) return OnMessageError(*message);
  Partition* partition = Find(*message);
  if (partition == nullptr || partition->state != Partition::State::kOwned || partition->paused_at >= 0) return;
  const int64_t offset = message->offset;
  if (offset < partition->offsets.next() && partition->offsets.next() > 0) {
    // The topic was made anew, or what followed was truncated: a partition of its own from now on.
    auto fresh = std::make_unique<Partition>();
    fresh->plan = partition->plan;
    fresh->name = partition->name;
    fresh->number = partition->number;
    fresh->member = this;
    fresh->offsets = Offsets(offset);
    fresh->queue = std::move(partition->queue);
    Abandon(partition);
    SetClosed(*fresh);
    partition = partitions_.emplace_back(std::move(fresh)).get();
  }
  if (!partition->alone) {
    if (partition->waiting.empty() && Offer(*partition, message, out)) return;
    if (partition->offsets.span() >= kMaxSpan) return Pause(*partition, offset);
    ++waiting_;
  }
  partition->waiting.push_back(std::move(message));
}

// False: it has to wait.
bool Member::Offer(Partition& partition, MessagePtr& message, std::vector<Delivery>& out) {
  if (partition.offsets.span() >= kMaxSpan) return false;
  switch (partition.offsets.Admit(message->offset)) {
    case Offsets::Admission::kWait:
      claim_wanted_ = partition.touched = true;
      return false;
    case Offsets::Admission::kDone:
      message.reset();
      break;
    case Offsets::Admission::kDeliver:
      out.emplace_back(NewRecord(partition, std::move(message)));
      break;
  }
  partition.touched = true;
  if (partition.offsets.wants_claim()) claim_wanted_ = true;
  return true;
}

Partition* Member::Find(const rd_kafka_message_t& message) {
  const char* const topic = rd_kafka_topic_name(message.rkt);
  if (last_found_ != nullptr && last_found_->number == message.partition && last_found_->name == topic) {
    return last_found_;
  }
  for (const auto& partition : partitions_) {
    if (partition->state != Partition::State::kGone && partition->number == message.partition &&
        partition->name == topic) {
      return last_found_ = partition.get();
    }
  }
  return nullptr;
}

void Member::OnMessageError(const rd_kafka_message_t& message) {
  if (message.err == RD_KAFKA_RESP_ERR__PARTITION_EOF) return;
  OnError(message.err, rd_kafka_message_errstr(&message));
  if (message.err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) return;
  Log(Severity::kWarning,
      absl::StrCat("kafka: group ", subscribe_.group, ": ",
                   message.rkt == nullptr ? "" : absl::StrCat("topic ", rd_kafka_topic_name(message.rkt), ": "),
                   rd_kafka_message_errstr(&message)));
}

void Member::ReadRetries(size_t room, std::vector<Delivery>& out) {
  for (const auto& partition : partitions_) {
    if (out.size() >= room) return;
    if (partition->state == Partition::State::kOwned && !partition->closed) ReadWaiting(*partition, room, out);
  }
}

// What was given back, then what waits for its claim or its time.
void Member::ReadWaiting(Partition& partition, size_t room, std::vector<Delivery>& out) {
  // From the back, the oldest first.
  std::sort(partition.returned.begin(), partition.returned.end(),
            [](const KafkaRecord* x, const KafkaRecord* y) { return x->position > y->position; });
  while (!partition.returned.empty() && out.size() < room) {
    KafkaRecord* const record = partition.returned.back();
    partition.returned.pop_back();
    record->redelivered = true;
    out.emplace_back(record);
  }
  if (partition.paused_at >= 0 &&
      (partition.retry ? absl::Now() >= partition.due - kLongWait / 2 : partition.offsets.span() < kMaxSpan / 2)) {
    Resume(partition);
  }
  while (out.size() < room) {
    if (partition.waiting.empty() && !Fill(partition)) return;
    MessagePtr& head = partition.waiting.front();
    if (partition.retry) {
      if (partition.due == absl::InfinitePast()) partition.due = DueOf(*head);
      const absl::Duration early = partition.due - absl::Now();
      if (early > kLongWait) return Pause(partition, head->offset);
      if (early > absl::ZeroDuration()) {
        wake_at_ = std::min(wake_at_, Now() + early);
        return;
      }
    }
    if (!Offer(partition, head, out)) return;
    partition.waiting.pop_front();
    partition.due = absl::InfinitePast();
    if (!partition.alone) --waiting_;
  }
}

// From a partition's own queue. False: there is nothing, or it is read by the shared one (again).
bool Member::Fill(Partition& partition) {
  if (!partition.alone || partition.paused_at >= 0 || partition.shared_until > shared_read_) return false;
  if (partition.readable.exchange(false)) {
    rd_kafka_message_t* read[kAhead];
    const ssize_t count = rd_kafka_consume_batch_queue(partition.queue.get(), 0, read, kAhead);
    for (ssize_t i = 0; i < count; ++i) {
      MessagePtr message(read[i]);
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        partition.waiting.push_back(std::move(message));
      } else {
        OnMessageError(*message);
      }
    }
    if (count == static_cast<ssize_t>(kAhead)) partition.readable = true;
    partition.due = absl::InfinitePast();
  }
  if (!partition.waiting.empty()) return true;
  if (!partition.retry && !partition.readable) ReadTogether(partition);
  return false;
}

// What is in the shared queue of topics that are closed from now on is taken aside as it comes; what comes later stays
// where it is.
void Member::CloseTopics(const Room& room) {
  const bool same = room.closed == closed_.closed ||
                    (room.closed != nullptr && closed_.closed != nullptr && *room.closed == *closed_.closed);
  if (same) return;
  closed_.closed = room.closed;
  for (const auto& partition : partitions_) {
    if (partition->state == Partition::State::kOwned) SetClosed(*partition);
  }
}

void Member::SetClosed(Partition& partition) {
  partition.closed = !closed_.Reads(partition.plan->topic);
  if (!partition.closed || partition.retry || partition.alone || partition.paused_at >= 0) return;
  const auto others = std::count_if(partitions_.begin(), partitions_.end(), [](const auto& one) {
    return one->state == Partition::State::kOwned && one->closed && one->alone && !one->retry;
  });
  others < kMaxClosed ? ReadAlone(partition) : Pause(partition, partition.offsets.next());
}

void Member::ReadAlone(Partition& partition) {
  waiting_ -= partition.waiting.size();
  partition.alone = true;
  rd_kafka_queue_forward(partition.queue.get(), nullptr);
  if (!partition.retry) {
    partition.shared_until = shared_read_ + static_cast<int64_t>(rd_kafka_queue_length(messages_.get()));
  }
  rd_kafka_queue_cb_event_enable(partition.queue.get(), OnReadable, &partition);
  partition.readable = true;
}

void Member::ReadTogether(Partition& partition) {
  // While it is forwarded, its notices would be the shared queue's.
  if (partition.alone) rd_kafka_queue_cb_event_enable(partition.queue.get(), nullptr, nullptr);
  partition.alone = false;
  rd_kafka_queue_forward(partition.queue.get(), messages_.get());
}

void Member::DropWaiting(Partition& partition) {
  if (!partition.alone) waiting_ -= partition.waiting.size();
  partition.waiting.clear();
}

// For long stalls only: it drops what librdkafka has read ahead, and reads it again.
void Member::Pause(Partition& partition, int64_t offset) {
  const PartitionList one(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(one.get(), partition.name.c_str(), partition.number);
  rd_kafka_pause_partitions(handle_.get(), one.get());
  partition.paused_at = partition.waiting.empty() ? offset : partition.waiting.front()->offset;
  DropWaiting(partition);
}

void Member::Resume(Partition& partition) {
  const PartitionList one(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(one.get(), partition.name.c_str(), partition.number)->offset = partition.paused_at;
  const Error error(rd_kafka_seek_partitions(handle_.get(), one.get(), 1'000));
  if (error != nullptr || one->elems[0].err != RD_KAFKA_RESP_ERR_NO_ERROR) return;  // Next time.
  partition.paused_at = -1;
  partition.due = absl::InfinitePast();
  partition.readable = true;
  rd_kafka_resume_partitions(handle_.get(), one.get());
}

KafkaRecord* Member::NewRecord(Partition& partition, MessagePtr message) {
  if (free_records_.empty()) {
    records_.push_back(std::make_unique<KafkaRecord>());
    free_records_.push_back(records_.back().get());
  }
  KafkaRecord* const record = free_records_.back();
  free_records_.pop_back();
  const int64_t offset = message->offset;
  static_cast<Record&>(*record) = Record();
  record->header_views.clear();
  record->message = std::move(message);
  record->from = &partition;
  record->topic = partition.plan->topic;
  record->owner = this;
  ReadMessage(*record, partition.retry);
  record->number = partition.offsets.Add(offset);
  if (partition.offsets.IsSuspect(offset)) record->suspect = record->redelivered = true;
  if (const Offsets::Note* note = partition.offsets.FindNote(offset)) {
    record->redelivered = true;
    record->attempts = std::max(record->attempts, note->attempts);
    record->not_before = note->not_before;
    for (const std::string& handler : partition.plan->handlers) {
      if (HandlerHash(handler) == note->handler) record->attempts_of = handler;
    }
  }
  ++partition.in_hand;
  ++live_;
  return record;
}

void Member::Free(KafkaRecord* record) {
  --record->from->in_hand;
  --live_;
  record->message.reset();
  free_records_.push_back(record);
}

}  // namespace messaging::kafka
