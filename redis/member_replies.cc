// What the server tells a subscription.
#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "messaging/broker/clock.h"
#include "messaging/log.h"
#include "redis/member.h"

namespace messaging::redis {
namespace {

absl::Time Now() { return Clock::Steady().Now(); }

const redisReply* Element(const redisReply& reply, size_t i) {
  return reply.type == REDIS_REPLY_ARRAY && i < reply.elements ? reply.element[i] : nullptr;
}

bool IsEntry(const redisReply* reply) {
  return reply != nullptr && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
         reply->element[1]->type == REDIS_REPLY_ARRAY;
}

// "attempts not_before_in_microseconds handler", as AskBegin writes it.
void ReadNote(std::string_view note, RedisRecord& record) {
  const std::vector<std::string_view> parts = absl::StrSplit(note, absl::MaxSplits(' ', 2));
  int attempts = 0;
  int64_t not_before = 0;
  if (parts.size() != 3 || !absl::SimpleAtoi(parts[0], &attempts) || !absl::SimpleAtoi(parts[1], &not_before)) return;
  record.noted = true;
  record.attempts = attempts;
  record.attempts_of = parts[2];
  if (not_before > 0) record.not_before = absl::FromUnixMicros(not_before);
}

}  // namespace

void Member::OnReply(Connection* connection, ReplyPtr reply) {
  if (!broken_.ok()) return;
  if (connection == reader_.get()) {
    OnReadReply(std::move(reply));
    return;
  }
  if (asked_.empty()) return;  // Of something that nobody asked.
  Asked asked = std::move(asked_.front());
  asked_.pop_front();
  asked_since_ = Now();
  OnCommandReply(std::move(asked), std::move(reply));
}

void Member::OnCommandReply(Asked asked, ReplyPtr reply) {
  using Kind = Asked::Kind;
  const bool is_error = IsError(*reply);
  absl::Status status;
  if (is_error) status = StatusOfError(View(*reply), options_);
  if (status.code() == absl::StatusCode::kNotFound && asked.kind != Kind::kIgnore) Lost(status);
  switch (asked.kind) {
    case Kind::kIgnore:
      break;
    case Kind::kGroup:
      OnGroup(asked, *reply);
      break;
    case Kind::kHistory:
      --histories_;
      if (!is_error) OnHistory(asked, std::move(reply));
      break;
    case Kind::kTake:
      if (!is_error) OnTaken(asked, std::move(reply));
      break;
    case Kind::kDue:
      if (!is_error) OnDue(*reply);
      break;
    case Kind::kAssign:
      if (!is_error) OnAssign(asked, *reply);
      break;
    case Kind::kLease:
      if (!is_error) OnLease(asked, *reply);
      break;
    case Kind::kAdopt:
      --streams_[asked.stream].adopting;
      if (!is_error) OnAdopted(asked, std::move(reply));
      break;
    case Kind::kAck:
    case Kind::kRelease:
      Answer(std::move(asked.settlements), status);
      break;
    case Kind::kSettle:
    case Kind::kBegin:
      if (!is_error && reply->integer == 0) status = absl::CancelledError("another member has taken it over");
      Answer(std::move(asked.settlements), status);
      break;
    case Kind::kLeave:
      loop_->Post([self = shared_from_this()] { self->End(); });
      break;
  }
}

void Member::OnReadReply(ReplyPtr reply) {
  reading_ = false;
  for (Stream& stream : streams_) stream.reading = false;
  if (IsError(*reply)) {
    const absl::Status why = StatusOfError(View(*reply), options_);
    if (why.code() == absl::StatusCode::kNotFound) return Lost(why);
    if (absl::StartsWith(View(*reply), "UNBLOCKED")) return;
    broken_ = why;  // Loading, busy, no right: not at once again.
    return;
  }
  if (reply->type != REDIS_REPLY_ARRAY) return;  // Nothing came.
  auto batch = std::make_unique<Batch>(std::move(reply));
  size_t bytes = 0;
  for (size_t i = 0; i < batch->reply->elements; ++i) {
    const redisReply& part = *batch->reply->element[i];
    const auto found = by_key_.find(View(*part.element[0]));
    if (found == by_key_.end()) continue;
    const redisReply& entries = *part.element[1];
    for (size_t j = 0; j < entries.elements; ++j) {
      RedisRecord* const record = AddRecord(*batch, found->second.first, found->second.second, *entries.element[j]);
      if (record != nullptr) bytes += record->ByteSize();
    }
  }
  if (!batch->records.empty()) {
    const double mean = static_cast<double>(bytes) / static_cast<double>(batch->records.size());
    mean_bytes_ = std::max(mean, mean_bytes_ * 0.8 + mean * 0.2);
  }
  Deliver(std::move(batch));
}

void Member::OnGroup(const Asked& asked, const redisReply& reply) {
  if (IsError(reply) && !absl::StartsWith(View(reply), "BUSYGROUP")) {
    const absl::Status why = StatusOfError(View(reply), options_);
    broken_ = absl::Status(why.code(), absl::StrCat(why.message(), " (", SourceKey(asked.stream, asked.is_retry), ")"));
    return;
  }
  if (--ungrouped_ > 0) return;
  backoff_.Reset();
  refused_ = false;
  if (std::exchange(complained_, false)) {
    Log(Severity::kInfo, absl::StrCat(options_.Address(), ": connected again, group ", subscribe_.group, " consumes"));
  }
  history_wanted_ = was_connected_;
  if (was_connected_) take_others_at_ = Now() + options_.claim_idle;
  was_connected_ = true;
  next_tick_ = absl::InfinitePast();
  TellAssignment();
  if (!std::exchange(started_, true)) {
    absl::MutexLock lock(&mutex_);
    start_done_ = true;
  }
}

absl::flat_hash_set<std::string_view> Member::InHand(int stream, bool is_retry) const {
  absl::flat_hash_set<std::string_view> entries;
  for (const RedisRecord* record = in_hand_; record != nullptr; record = record->next) {
    if (record->stream == stream && record->is_retry == is_retry) entries.insert(record->entry);
  }
  return entries;
}

void Member::OnHistory(const Asked& asked, ReplyPtr reply) {
  const redisReply* const part = Element(*reply, 0);
  const redisReply* const entries = part == nullptr ? nullptr : Element(*part, 1);
  if (entries == nullptr || entries->elements == 0) return;
  const absl::flat_hash_set<std::string_view> known = InHand(asked.stream, asked.is_retry);
  if (entries->elements == kHistoryCount) {
    AskHistory(asked.stream, asked.is_retry, View(*entries->element[kHistoryCount - 1]->element[0]));
  }
  auto batch = std::make_unique<Batch>(std::move(reply));
  for (size_t i = 0; i < entries->elements; ++i) {
    const redisReply& entry = *entries->element[i];
    const std::string_view id = View(*entry.element[0]);
    if (known.contains(id)) continue;
    if (entry.element[1]->type != REDIS_REPLY_ARRAY) {  // Deleted meanwhile.
      Ask({}).Command({"XACK", SourceKey(asked.stream, asked.is_retry), subscribe_.group, id});
      continue;
    }
    RedisRecord* const record = AddRecord(*batch, asked.stream, asked.is_retry, entry);
    if (record != nullptr) record->redelivered = true;
  }
  Deliver(std::move(batch));
}

RedisRecord* Member::AddTaken(Batch& batch, const Asked& asked, const redisReply& taken) {
  if (taken.type != REDIS_REPLY_ARRAY || taken.elements != 3 || !IsEntry(taken.element[0])) return nullptr;
  RedisRecord* const record = AddRecord(batch, asked.stream, asked.is_retry, *taken.element[0]);
  if (record == nullptr) return nullptr;
  record->redelivered = true;
  if (View(*taken.element[2]) == "1") record->suspect = true;
  ReadNote(View(*taken.element[1]), *record);
  return record;
}

void Member::OnTaken(const Asked& asked, ReplyPtr reply) {
  const redisReply* const renewed = Element(*reply, 0);
  if (renewed == nullptr) return;
  // A read whose answer never came (it was on its way when the connection was lost) gave us what we do not know of.
  if (renewed->elements > 0 && !history_wanted_ && histories_ == 0) {
    const absl::flat_hash_set<std::string_view> known = InHand(asked.stream, asked.is_retry);
    for (size_t i = 0; i < renewed->elements && !history_wanted_; ++i) {
      history_wanted_ = !known.contains(View(*renewed->element[i]));
    }
  }
  auto batch = std::make_unique<Batch>(std::move(reply));
  const size_t taken = batch->reply->elements - 1;
  for (size_t i = 1; i <= taken; ++i) AddTaken(*batch, asked, *batch->reply->element[i]);
  Deliver(std::move(batch));
  if (taken > 0 && taken >= asked.limit) next_tick_ = absl::InfinitePast();  // There may be more.
}

void Member::OnAdopted(const Asked& asked, ReplyPtr reply) {
  if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0) return;
  const bool more = reply->element[0]->integer == 1;
  auto batch = std::make_unique<Batch>(std::move(reply));
  for (size_t i = 1; i < batch->reply->elements; ++i) AddTaken(*batch, asked, *batch->reply->element[i]);
  Deliver(std::move(batch));
  Stream& stream = streams_[asked.stream];
  if (more) return AskAdopt(asked.stream, asked.is_retry);
  if (stream.claim == Stream::Claim::kAdopting && stream.adopting == 0) stream.claim = Stream::Claim::kOwned;
}

void Member::OnDue(const redisReply& reply) {
  const redisReply* const wait = Element(reply, 1);
  if (wait == nullptr || wait->integer < 0) return;
  next_due_ = std::min(next_due_, Now() + absl::Milliseconds(std::max<int64_t>(wait->integer, 1)));
}

// Each of the members that want partitions has every so manyth.
void Member::OnAssign(const Asked& asked, const redisReply& reply) {
  const redisReply* const number = Element(reply, 0);
  const redisReply* const members = Element(reply, 1);
  if (number == nullptr || members == nullptr) return;
  dealt_ = true;
  for (Stream& stream : streams_) {
    if (stream.topic != streams_[asked.stream].topic) continue;
    stream.wanted = number->integer >= 0 && stream.partition % members->integer == number->integer &&
                    (stream.had || stream.claim != Stream::Claim::kNone || Now() >= take_others_at_);
    if (!stream.wanted && stream.claim != Stream::Claim::kNone) stream.claim = Stream::Claim::kLeaving;
    if (stream.wanted && stream.claim == Stream::Claim::kLeaving) stream.claim = Stream::Claim::kOwned;
    if (stream.claim == Stream::Claim::kLeaving || (stream.wanted && stream.claim == Stream::Claim::kNone)) {
      next_tick_ = std::min(next_tick_, Now() + absl::Milliseconds(10));
    }
  }
}

void Member::OnLease(const Asked& asked, const redisReply& reply) {
  Stream& stream = streams_[asked.stream];
  if (reply.integer == 1) {
    stream.lease_until = asked.when + options_.claim_idle;
    if (stream.claim != Stream::Claim::kNone || !stream.wanted) return;
    if (stream.reading) return AskUnblock();  // By the read from before the lease was lost; the next tick comes here.
    stream.claim = Stream::Claim::kAdopting;
    for (const bool is_retry : {false, true}) {
      AskHistory(asked.stream, is_retry, "0");
      AskAdopt(asked.stream, is_retry);
    }
    return;
  }
  stream.lease_until = absl::InfinitePast();
  if (std::exchange(stream.claim, Stream::Claim::kNone) == Stream::Claim::kNone) return;
  const int number = asked.stream;
  sink_->Revoke([number](const Record& record) { return static_cast<const RedisRecord&>(record).stream == number; });
}

RedisRecord* Member::AddRecord(Batch& batch, int stream, bool is_retry, const redisReply& entry) {
  if (!IsEntry(&entry)) return nullptr;
  RedisRecord& record = batch.records.emplace_back();
  record.stream = stream;
  record.is_retry = is_retry;
  record.topic = subscribe_.topics[streams_[stream].topic].topic;
  record.partition = streams_[stream].partition;
  record.owner = this;
  record.batch = &batch;
  if (!ReadEntry(entry, record)) {
    // Somebody gave something back: that is all it says.
    const std::string& key = SourceKey(stream, is_retry);
    Ask({}).Command({"XACK", key, subscribe_.group, record.entry});
    Ask({}).Command({"XDEL", key, record.entry});
    next_tick_ = absl::InfinitePast();
    if (streams_[stream].claim == Stream::Claim::kOwned) {
      for (const bool each : {false, true}) AskAdopt(stream, each);
    }
    batch.records.pop_back();
    return nullptr;
  }
  record.next = in_hand_;
  if (in_hand_ != nullptr) in_hand_->previous = &record;
  in_hand_ = &record;
  ++batch.live;
  if (record.has_key) ++streams_[stream].keyed_in_hand;
  return &record;
}

}  // namespace messaging::redis
