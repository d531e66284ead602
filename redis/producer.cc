#include "redis/producer.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "messaging/broker/clock.h"
#include "messaging/log.h"
#include "redis/entry.h"
#include "redis/keys.h"
#include "redis/scripts.h"

namespace messaging::redis {
namespace {

// On their way at most. More would only wait in the server's buffers.
constexpr size_t kMaxAsked = 10'000;
constexpr size_t kMaxUnsentBytes = 1 << 20;
constexpr absl::Duration kPause = absl::Milliseconds(200);  // Before what was refused for a while is sent again.
constexpr absl::Duration kTrimEvery = absl::Minutes(1);

// It may pass: the message is sent again until its deadline.
bool MayPass(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable || status.code() == absl::StatusCode::kResourceExhausted;
}

bool ForGood(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnauthenticated || status.code() == absl::StatusCode::kPermissionDenied;
}

}  // namespace

int PartitionOf(std::string_view key, int partitions) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char c : key) hash = (hash ^ c) * 0x100000001b3;
  return static_cast<int>(hash % static_cast<uint64_t>(partitions));
}

void Producer::Publish(OutgoingPtr message) {
  bool first = false;
  {
    absl::MutexLock lock(&mutex_);
    first = queued_.empty();
    queued_.push_back(std::move(message));
  }
  if (first) loop_.Notify();
}

void Producer::DropAll() { RefuseAll(absl::DeadlineExceededError("the client was closed before the server answered")); }

std::vector<Connection*> Producer::Connections() {
  if (connection_ == nullptr) return {};
  return {connection_.get()};
}

void Producer::TakeQueued() {
  absl::MutexLock lock(&mutex_);
  waiting_.insert(waiting_.end(), std::make_move_iterator(queued_.begin()), std::make_move_iterator(queued_.end()));
  queued_.clear();
}

void Producer::Step(absl::Time now) {
  TakeQueued();
  next_step_ = absl::InfiniteFuture();
  if (connection_ == nullptr && !waiting_.empty()) Connect(now);
  if (connection_ == nullptr) return;
  const absl::Duration limit = loop_.options().response_timeout;
  if (!asked_.empty()) {
    if (now > asked_since_ + limit) {
      return OnLost(connection_.get(),
                    absl::UnavailableError(
                        absl::StrCat(loop_.options().Address(), ": no answer for ", absl::FormatDuration(limit))));
    }
    next_step_ = asked_since_ + limit + absl::Milliseconds(1);
  }
  if (now < retry_at_) {
    next_step_ = std::min(next_step_, retry_at_);
    return;
  }
  if (again_.empty()) SendNext();
  if (now >= next_trim_) AskTrim(now);
}

void Producer::Connect(absl::Time now) {
  if (now < retry_at_) {
    next_step_ = retry_at_;
    return;
  }
  absl::StatusOr<std::unique_ptr<Connection>> connection = loop_.Connect();
  if (connection.ok()) {
    connection_ = *std::move(connection);
    backoff_.Reset();
    if (std::exchange(complained_, false)) {
      Log(Severity::kInfo, absl::StrCat(loop_.options().Address(), ": connected again, sending goes on"));
    }
    return;
  }
  retry_at_ = next_step_ = now + backoff_.Next();
  Complain(connection.status());
  // Who we are, or whom we talk to, is wrong: time does not mend it.
  if (ForGood(connection.status())) RefuseAll(connection.status());
}

void Producer::Complain(const absl::Status& why) {
  if (!std::exchange(complained_, true)) {
    Log(Severity::kWarning, absl::StrCat("cannot send, and tries again: ", why.message()));
  }
}

void Producer::RefuseAll(const absl::Status& why) {
  TakeQueued();
  std::vector<OutgoingPtr> all = std::exchange(again_, {});
  for (auto& [outgoing, reply] : unconfirmed_) all.push_back(std::move(outgoing));
  for (Asked& asked : asked_) all.push_back(std::move(asked.outgoing));
  for (OutgoingPtr& outgoing : waiting_) all.push_back(std::move(outgoing));
  unconfirmed_.clear();
  asked_.clear();
  waiting_.clear();
  for (const OutgoingPtr& outgoing : all) {
    if (outgoing != nullptr) outgoing->Complete(why);
  }
}

void Producer::SendNext() {
  const RedisOptions& options = loop_.options();
  if (asked_.empty()) asked_since_ = Clock::Steady().Now();
  size_t sent = 0;
  while (!waiting_.empty() && asked_.size() < kMaxAsked && connection_->unsent() < kMaxUnsentBytes) {
    OutgoingPtr outgoing = std::move(waiting_.front());
    waiting_.pop_front();
    if (outgoing->resolved()) continue;  // Its deadline has passed.
    Append(*outgoing);
    asked_.push_back({.outgoing = std::move(outgoing)});
    ++sent;
  }
  if (sent == 0 || options.wait_replicas == 0) return;
  connection_->out.Command(
      {"WAIT", absl::StrCat(options.wait_replicas), absl::StrCat(absl::ToInt64Milliseconds(options.wait_timeout))});
  asked_.push_back({.kind = Kind::kWait});
}

void Producer::Append(const Outgoing& outgoing) {
  const Message& message = outgoing.message();
  char digits[24];
  const char* const end = std::to_chars(digits, digits + sizeof(digits), absl::ToUnixMicros(message.timestamp)).ptr;
  const std::string_view time(digits, static_cast<size_t>(end - digits));
  size_t fields = 0;
  ForEachField(message, time, [&](std::string_view, std::string_view) { ++fields; });
  CommandBuffer& out = connection_->out;
  out.Begin(3 + 2 * fields);
  out.Arg("XADD");
  out.Arg(StreamFor(message));
  out.Arg("*");
  ForEachField(message, time, [&](std::string_view name, std::string_view value) {
    out.Arg(name);
    out.Arg(value);
  });
}

const std::string& Producer::StreamFor(const Message& message) {
  Stream& stream = streams_[message.topic];
  if (stream.keys.empty()) {
    const int partitions = loop_.options().PartitionsOf(message.topic);
    if (partitions == 0) stream.keys.push_back(StreamKey(message.topic));
    for (int i = 0; i < partitions; ++i) stream.keys.push_back(StreamKey(message.topic, i));
  }
  const auto partitions = static_cast<int>(stream.keys.size());
  if (partitions == 1) return stream.keys[0];
  if (message.key) return stream.keys[PartitionOf(*message.key, partitions)];
  return stream.keys[stream.next++ % stream.keys.size()];
}

void Producer::OnReply(Connection*, ReplyPtr reply) {
  Asked asked = std::move(asked_.front());
  asked_.pop_front();
  asked_since_ = Clock::Steady().Now();
  switch (asked.kind) {
    case Kind::kSend:
      if (!again_.empty()) {
        again_.push_back(std::move(asked.outgoing));  // Stored or not: in order means behind the one that was refused.
      } else if (loop_.options().wait_replicas > 0 && !IsError(*reply)) {
        unconfirmed_.emplace_back(std::move(asked.outgoing), std::move(reply));
      } else {
        Answer(std::move(asked.outgoing), *reply);
      }
      break;
    case Kind::kWait:
      AnswerWait(*reply);
      break;
    case Kind::kTrim:
      break;
  }
  if (asked_.empty()) ReturnAgain();
}

void Producer::Answer(OutgoingPtr outgoing, const redisReply& reply) {
  if (!IsError(reply)) {
    outgoing->Complete(Receipt{.position = PositionOf(View(reply))});
    return;
  }
  absl::Status why = StatusOfError(View(reply), loop_.options());
  // Just before its deadline the server's reason says more than that the deadline has passed.
  const bool may_wait = outgoing->deadline() > Clock::Steady().Now() + 2 * kPause;
  if (!MayPass(why) || !may_wait) return outgoing->Complete(std::move(why));
  Complain(why);
  again_.push_back(std::move(outgoing));
}

void Producer::AnswerWait(const redisReply& reply) {
  const bool enough = reply.type == REDIS_REPLY_INTEGER && reply.integer >= loop_.options().wait_replicas;
  for (; !unconfirmed_.empty(); unconfirmed_.pop_front()) {
    auto& [outgoing, answer] = unconfirmed_.front();
    if (enough && again_.empty()) {
      Answer(std::move(outgoing), *answer);
    } else {
      again_.push_back(std::move(outgoing));
    }
  }
}

void Producer::ReturnAgain() {
  if (again_.empty()) return;
  waiting_.insert(waiting_.begin(), std::make_move_iterator(again_.begin()), std::make_move_iterator(again_.end()));
  again_.clear();
  retry_at_ = Clock::Steady().Now() + kPause;
}

void Producer::AskTrim(absl::Time now) {
  next_trim_ = now + kTrimEvery;
  const RedisOptions& options = loop_.options();
  if (options.retention == absl::ZeroDuration() && options.max_length == 0) return;
  const std::string keep = absl::StrCat(absl::ToInt64Milliseconds(options.retention));
  const std::string length = absl::StrCat(options.max_length);
  for (const auto& [topic, stream] : streams_) {
    for (const std::string& key : stream.keys) {
      connection_->out.Command({"EVAL", kTrim, "1", key, keep, length});
      asked_.push_back({.kind = Kind::kTrim});
    }
  }
}

void Producer::OnLost(Connection*, const absl::Status& why) {
  connection_.reset();
  retry_at_ = Clock::Steady().Now() + backoff_.Next();
  next_step_ = retry_at_;
  // All that was not answered goes first, in its order.
  for (; !asked_.empty(); asked_.pop_back()) {
    if (asked_.back().outgoing != nullptr) waiting_.push_front(std::move(asked_.back().outgoing));
  }
  for (; !unconfirmed_.empty(); unconfirmed_.pop_back()) waiting_.push_front(std::move(unconfirmed_.back().first));
  for (; !again_.empty(); again_.pop_back()) waiting_.push_front(std::move(again_.back()));
  if (!waiting_.empty()) Complain(why);
}

}  // namespace messaging::redis
