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
// While the server owes answers a message waits for the next of them, or for so many that wait. A lone one never waits.
constexpr size_t kGather = 64;
constexpr absl::Duration kPause = absl::Milliseconds(200);  // Before what was refused for a while is sent again.
constexpr absl::Duration kTrimEvery = absl::Minutes(1);
// How far a stream is searched, from its end on, for what may have been stored. What others stored since is among it.
constexpr size_t kMaxPage = 1'000;
constexpr size_t kPageBytes = 8 << 20;  // About.
constexpr int kMaxPages = 20;

// It may pass: the message is sent again until its deadline.
bool MayPass(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable || status.code() == absl::StatusCode::kResourceExhausted;
}

bool ForGood(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnauthenticated || status.code() == absl::StatusCode::kPermissionDenied;
}

bool IsEntry(const redisReply& reply) {
  return reply.type == REDIS_REPLY_ARRAY && reply.elements == 2 && reply.element[1]->type == REDIS_REPLY_ARRAY;
}

std::string_view IdIn(const redisReply& fields) {
  for (size_t i = 0; i + 1 < fields.elements; i += 2) {
    if (View(*fields.element[i]) == "id") return View(*fields.element[i + 1]);
  }
  return {};
}

// Field by field: another message may have been sent under the same id.
bool IsMessage(const redisReply& fields, const Message& message) {
  size_t at = 0;
  bool same = true;
  ForEachField(message, absl::StrCat(absl::ToUnixMicros(message.timestamp)),
               [&](std::string_view name, std::string_view value) {
                 same = same && at + 1 < fields.elements && View(*fields.element[at]) == name &&
                        View(*fields.element[at + 1]) == value;
                 at += 2;
               });
  return same && at == fields.elements;
}

}  // namespace

int PartitionOf(std::string_view key, int partitions) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char c : key) hash = (hash ^ c) * 0x100000001b3;
  return static_cast<int>(hash % static_cast<uint64_t>(partitions));
}

void Producer::Publish(OutgoingPtr message) {
  bool wanted = false;
  {
    absl::MutexLock lock(&mutex_);
    queued_.push_back(std::move(message));
    wanted = queued_.size() == (answers_come_ ? kGather : 1);
  }
  if (wanted) loop_.Notify();
}

void Producer::DropAll() { RefuseAll(absl::DeadlineExceededError("the client was closed before the server answered")); }

std::vector<io::Stream*> Producer::Streams() {
  if (connection_ == nullptr) return {};
  return {connection_.get()};
}

void Producer::TakeQueued() {
  {
    absl::MutexLock lock(&mutex_);
    queued_.swap(taken_);
  }
  waiting_.insert(waiting_.end(), std::make_move_iterator(taken_.begin()), std::make_move_iterator(taken_.end()));
  taken_.clear();
}

void Producer::Step(absl::Time now) {
  SendWaiting(now);
  absl::MutexLock lock(&mutex_);
  answers_come_ = !asked_.empty();
  if (!answers_come_ && !queued_.empty()) loop_.Notify();  // They thought that the loop would come by.
}

void Producer::SendWaiting(absl::Time now) {
  TakeQueued();
  next_step_ = absl::InfiniteFuture();
  if (connection_ == nullptr && (!waiting_.empty() || !doubts_.empty())) Connect(now);
  if (connection_ == nullptr) return;
  const absl::Duration limit = options_.response_timeout;
  if (!asked_.empty()) {
    if (now > asked_since_ + limit) {
      return OnLost(connection_.get(), absl::UnavailableError(absl::StrCat(options_.Address(), ": no answer for ",
                                                                           absl::FormatDuration(limit))));
    }
    next_step_ = asked_since_ + limit + absl::Milliseconds(1);
  }
  if (now < retry_at_) {
    next_step_ = std::min(next_step_, retry_at_);
    return;
  }
  if (!doubts_.empty() && asked_.empty()) AskSearch();
  if (!doubts_.empty()) return;
  if (again_.empty()) SendNext();
  if (now >= next_trim_) AskTrim(now);
}

void Producer::Connect(absl::Time now) {
  if (now < retry_at_) {
    next_step_ = retry_at_;
    return;
  }
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect_();
  if (connection.ok()) {
    connection_ = *std::move(connection);
    connection_->StopBlocking([this](ReplyPtr reply) { OnReply(std::move(reply)); });
    probing_ = true;
    backoff_.Reset();
    if (std::exchange(complained_, false)) {
      Log(Severity::kInfo, absl::StrCat(options_.Address(), ": connected again, sending goes on"));
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
  for (Doubt& doubt : doubts_) all.push_back(std::move(doubt.outgoing));
  for (OutgoingPtr& outgoing : waiting_) all.push_back(std::move(outgoing));
  unconfirmed_.clear();
  asked_.clear();
  doubts_.clear();
  doubts_by_id_.clear();
  waiting_.clear();
  for (const OutgoingPtr& outgoing : all) {
    if (outgoing != nullptr) outgoing->Complete(why);
  }
}

void Producer::SendNext() {
  if (asked_.size() > kMaxAsked / 2) return;  // They keep the server busy until more go out together.
  if (asked_.empty()) asked_since_ = Clock::Steady().Now();
  size_t sent = 0;
  const size_t most = probing_ ? 1 : kMaxAsked;
  while (!waiting_.empty() && asked_.size() < most && connection_->unsent() < kMaxUnsentBytes) {
    OutgoingPtr outgoing = std::move(waiting_.front());
    waiting_.pop_front();
    if (outgoing->resolved()) continue;  // Its deadline has passed.
    Stream& stream = StreamFor(outgoing->message());
    Append(*outgoing, stream);
    asked_.push_back({.outgoing = std::move(outgoing), .stream = &stream});
    ++sent;
  }
  if (sent == 0 || options_.wait_replicas == 0) return;
  connection_->out.Command(
      {"WAIT", absl::StrCat(options_.wait_replicas), absl::StrCat(absl::ToInt64Milliseconds(options_.wait_timeout))});
  asked_.push_back({.kind = Kind::kWait});
}

void Producer::Append(const Outgoing& outgoing, const Stream& stream) {
  const Message& message = outgoing.message();
  char digits[24];
  const char* const end = std::to_chars(digits, digits + sizeof(digits), absl::ToUnixMicros(message.timestamp)).ptr;
  const std::string_view time(digits, static_cast<size_t>(end - digits));
  size_t fields = 0;
  ForEachField(message, time, [&](std::string_view, std::string_view) { ++fields; });
  CommandBuffer& out = connection_->out;
  out.Begin(3 + 2 * fields);
  out.Arg("XADD");
  out.Arg(stream.key);
  out.Arg("*");
  ForEachField(message, time, [&](std::string_view name, std::string_view value) {
    out.Arg(name);
    out.Arg(value);
  });
}

Producer::Stream& Producer::StreamFor(const Message& message) {
  Topic& topic = topics_[message.topic];
  if (topic.streams.empty()) {
    const int partitions = options_.PartitionsOf(message.topic);
    if (partitions == 0) topic.streams.push_back({.key = StreamKey(message.topic)});
    for (int i = 0; i < partitions; ++i) topic.streams.push_back({.key = StreamKey(message.topic, i)});
  }
  const auto partitions = static_cast<int>(topic.streams.size());
  if (partitions == 1) return topic.streams[0];
  if (message.key) return topic.streams[PartitionOf(*message.key, partitions)];
  return topic.streams[topic.next++ % topic.streams.size()];
}

void Producer::AskSearch() {
  search_again_ = false;
  doubts_by_id_.clear();
  std::erase_if(doubts_, [](const Doubt& doubt) { return doubt.stored; });  // By a search that was cut off.
  size_t largest = 1;
  for (const Doubt& doubt : doubts_) {
    doubt.stream->searched = 0;
    largest = std::max(largest, doubt.outgoing->bytes());
  }
  page_ = std::clamp<size_t>(kPageBytes / largest, 1, kMaxPage);
  for (size_t i = 0; i < doubts_.size(); ++i) {
    Doubt& doubt = doubts_[i];
    doubts_by_id_[doubt.outgoing->message().id].push_back(i);
    if (doubt.stream->searched == 0) AskPage(*doubt.stream, "+");
  }
}

void Producer::AskPage(Stream& stream, std::string_view before) {
  if (asked_.empty()) asked_since_ = Clock::Steady().Now();
  ++stream.searched;
  connection_->out.Command({"XREVRANGE", stream.key, before, stream.last, "COUNT", absl::StrCat(page_)});
  asked_.push_back({.kind = Kind::kSearch, .stream = &stream});
}

void Producer::OnPage(Stream& stream, const redisReply& reply) {
  if (IsError(reply)) {  // No right to look: what is in doubt is sent again.
    search_again_ = search_again_ || MayPass(StatusOfError(View(reply), options_));
    return;
  }
  for (size_t i = 0; i < reply.elements; ++i) {
    if (!IsEntry(*reply.element[i])) continue;
    const redisReply& fields = *reply.element[i]->element[1];
    const auto found = doubts_by_id_.find(IdIn(fields));
    if (found == doubts_by_id_.end()) continue;
    for (const size_t at : found->second) {
      Doubt& doubt = doubts_[at];
      if (doubt.stored || doubt.stream != &stream || !IsMessage(fields, doubt.outgoing->message())) continue;
      doubt.stored = true;
      doubt.outgoing->Complete(Receipt{.position = PositionOf(View(*reply.element[i]->element[0]))});
      break;
    }
  }
  if (reply.elements == page_ && stream.searched < kMaxPages) {
    AskPage(stream, absl::StrCat("(", View(*reply.element[page_ - 1]->element[0])));
  }
}

void Producer::EndSearch() {
  if (search_again_) {
    retry_at_ = Clock::Steady().Now() + kPause;
    return;
  }
  doubts_by_id_.clear();
  for (; !doubts_.empty(); doubts_.pop_back()) {
    if (!doubts_.back().stored) waiting_.push_front(std::move(doubts_.back().outgoing));
  }
}

void Producer::OnReply(ReplyPtr reply) {
  if (asked_.empty()) return;  // Of something that nobody asked.
  Asked asked = std::move(asked_.front());
  asked_.pop_front();
  switch (asked.kind) {
    case Kind::kSend:
      probing_ = probing_ && IsError(*reply);
      if (!again_.empty()) {
        again_.push_back(std::move(asked.outgoing));  // Stored or not: in order means behind the one that was refused.
      } else if (options_.wait_replicas > 0 && !IsError(*reply)) {
        unconfirmed_.emplace_back(std::move(asked.outgoing), std::move(reply));
      } else {
        if (!IsError(*reply)) asked.stream->last.assign("(").append(View(*reply));
        Answer(std::move(asked.outgoing), *reply);
      }
      break;
    case Kind::kWait:
      AnswerWait(*reply);
      break;
    case Kind::kTrim:
      break;
    case Kind::kSearch:
      OnPage(*asked.stream, *reply);
      if (asked_.empty()) EndSearch();
      break;
  }
  if (asked_.empty()) ReturnAgain();
}

void Producer::AfterRead() { asked_since_ = Clock::Steady().Now(); }

void Producer::Answer(OutgoingPtr outgoing, const redisReply& reply) {
  if (!IsError(reply)) {
    outgoing->Complete(Receipt{.position = PositionOf(View(reply))});
    return;
  }
  const absl::Status why = StatusOfError(View(reply), options_);
  // Just before its deadline the server's reason says more than that the deadline has passed.
  const bool may_wait = outgoing->deadline() > Clock::Steady().Now() + 2 * kPause;
  if (!MayPass(why) || !may_wait) {
    const std::string& topic = outgoing->message().topic;
    return outgoing->Complete(absl::Status(why.code(), absl::StrCat(why.message(), " (topic ", topic, ")")));
  }
  Complain(why);
  again_.push_back(std::move(outgoing));
}

void Producer::AnswerWait(const redisReply& reply) {
  const bool enough = reply.type == REDIS_REPLY_INTEGER && reply.integer >= options_.wait_replicas;
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
  probing_ = true;
  retry_at_ = Clock::Steady().Now() + kPause;
}

void Producer::AskTrim(absl::Time now) {
  next_trim_ = now + kTrimEvery;
  if (options_.retention == absl::ZeroDuration() && options_.max_length == 0) return;
  const std::string keep = absl::StrCat(absl::ToInt64Milliseconds(options_.retention));
  const std::string length = absl::StrCat(options_.max_length);
  for (const auto& [name, topic] : topics_) {
    for (const Stream& stream : topic.streams) {
      connection_->out.Command({"EVAL", kTrim, "1", stream.key, keep, length, options_.trim_unhandled ? "1" : "0"});
      asked_.push_back({.kind = Kind::kTrim});
    }
  }
}

void Producer::OnLost(io::Stream*, const absl::Status& why) {
  connection_.reset();
  retry_at_ = Clock::Steady().Now() + backoff_.Next();
  next_step_ = retry_at_;
  // All that was not answered goes first, in its order. A replica may still lack what the server has, and what was
  // refused for a while takes all behind it along: those are sent again unseen.
  const bool search = options_.wait_replicas == 0 && again_.empty();
  std::vector<Doubt> doubts;
  for (Asked& asked : asked_) {
    if (asked.kind == Kind::kSend) doubts.push_back({.outgoing = std::move(asked.outgoing), .stream = asked.stream});
  }
  asked_.clear();
  if (search) {
    std::move(doubts.begin(), doubts.end(), std::back_inserter(doubts_));
  } else {
    for (; !doubts.empty(); doubts.pop_back()) waiting_.push_front(std::move(doubts.back().outgoing));
  }
  for (; !unconfirmed_.empty(); unconfirmed_.pop_back()) waiting_.push_front(std::move(unconfirmed_.back().first));
  for (; !again_.empty(); again_.pop_back()) waiting_.push_front(std::move(again_.back()));
  if (!waiting_.empty() || !doubts_.empty()) Complain(why);
}

}  // namespace messaging::redis
