#include "redis/member.h"

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "messaging/broker/clock.h"
#include "messaging/log.h"
#include "redis/scripts.h"

namespace messaging::redis {
namespace {

constexpr char kBlockMilliseconds[] = "1000";
constexpr size_t kMaxCount = 1'000;    // Read at a time of one stream.
constexpr size_t kMaxStreams = 1'000;  // Read at a time.
constexpr size_t kMaxIds = 1'000;      // In one command.
constexpr char kMaxDue[] = "500";      // Moved at a time.
constexpr size_t kHistoryCount = 500;
constexpr absl::Duration kTick = absl::Milliseconds(200);
constexpr absl::Duration kTrimEvery = absl::Minutes(1);
constexpr size_t kStreamsATick = 16;  // With more of them the ticks of one come less often.

absl::Time Now() { return Clock::Steady().Now(); }

bool ForGood(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnauthenticated || status.code() == absl::StatusCode::kPermissionDenied ||
         status.code() == absl::StatusCode::kFailedPrecondition;
}

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

Member::Member(std::shared_ptr<Loop> loop, SubscribeOptions options, DeliverySink* sink)
    : loop_(std::move(loop)), options_(std::move(options)), sink_(sink) {
  for (size_t i = 0; i < options_.topics.size(); ++i) {
    const std::string& topic = options_.topics[i].topic;
    const int partitions = loop_->options().PartitionsOf(topic);
    auto add = [&](int partition) {
      streams_.push_back({.topic = static_cast<int>(i),
                          .keys = GroupKeys(topic, partition, options_.group),
                          .partitioned = partition >= 0,
                          .owned = partition < 0});
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
    self->start_limit_ = Now() + self->loop_->options().start_timeout;
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
    Drop(settlement.delivery.Take());
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
  left_ = true;
  if (!done) {
    loop_->Post([self = shared_from_this()] {
      self->Disconnect(absl::CancelledError("the subscription is closed"));
      self->loop_->Remove(self.get());
    });
    return absl::DeadlineExceededError(absl::StrCat(loop_->options().Address(), " did not answer in time"));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Member::Backlog() { return absl::UnimplementedError("backlog"); }

void Member::Drop(Record* record) {
  auto* const mine = static_cast<RedisRecord*>(record);
  {
    absl::MutexLock lock(&mutex_);
    dropped_.push_back(mine);
    if (left_) {
      // Nobody steps any more.
      loop_->Post([self = shared_from_this()] {
        std::vector<RedisRecord*> dropped;
        {
          absl::MutexLock lock(&self->mutex_);
          dropped.swap(self->dropped_);
        }
        for (RedisRecord* each : dropped) self->Free(each);
      });
      return;
    }
  }
  loop_->Notify();
}

// The loop's thread.

std::vector<Connection*> Member::Connections() {
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
  const absl::Duration limit = loop_->options().response_timeout;
  if ((reading_ && now > read_since_ + limit + absl::Seconds(1)) || (!asked_.empty() && now > asked_since_ + limit)) {
    return Disconnect(absl::UnavailableError(
        absl::StrCat(loop_->options().Address(), ": no answer for ", absl::FormatDuration(limit))));
  }
  if (!joined()) return;
  AskVerdicts();
  if (closing_) return AskLeave();
  if (now >= next_tick_ || now >= next_due_) AskTick(now);
  AskRead();
  next_step_ = std::min(next_tick_, next_due_);
}

void Member::Connect(absl::Time now) {
  if (now < retry_at_) {
    next_step_ = retry_at_;
    return;
  }
  absl::StatusOr<std::unique_ptr<Connection>> reader = loop_->Connect();
  absl::StatusOr<std::unique_ptr<Connection>> commands = reader.ok() ? loop_->Connect() : reader.status();
  if (!commands.ok()) {
    const absl::Status& why = commands.status();
    if (!started_ && (ForGood(why) || now >= start_limit_)) return FailStart(why);
    retry_at_ = next_step_ = now + backoff_.Next();
    if (!std::exchange(complained_, true)) {
      Log(Severity::kWarning,
          absl::StrCat("group ", options_.group, " cannot consume, and tries again: ", why.message()));
    }
    return;
  }
  reader_ = *std::move(reader);
  commands_ = *std::move(commands);
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

CommandBuffer& Member::Ask(Asked asked) {
  if (asked_.empty()) asked_since_ = Now();
  asked_.push_back(std::move(asked));
  return commands_->out;
}

void Member::MakeGroups() {
  // A group that was there and is gone (FLUSHALL, a stream deleted) begins at the beginning: what came since counts.
  const bool now = options_.start_at == StartAt::kNow && !was_connected_;
  for (size_t i = 0; i < streams_.size(); ++i) {
    const GroupKeys& keys = streams_[i].keys;
    const int stream = static_cast<int>(i);
    Ask({.kind = Asked::Kind::kGroup, .stream = stream})
        .Command({"XGROUP", "CREATE", keys.stream, options_.group, now ? "$" : "0", "MKSTREAM"});
    Ask({.kind = Asked::Kind::kGroup, .stream = stream, .is_retry = true})
        .Command({"XGROUP", "CREATE", keys.retry, options_.group, "0", "MKSTREAM"});
    ungrouped_ += 2;
  }
}

void Member::OnGroup(const Asked& asked, const redisReply& reply) {
  if (IsError(reply) && !absl::StartsWith(View(reply), "BUSYGROUP")) {
    const absl::Status why = StatusOfError(View(reply), loop_->options());
    const absl::Status named(why.code(),
                             absl::StrCat(why.message(), " (", SourceKey(asked.stream, asked.is_retry), ")"));
    if (!started_ && ForGood(named)) return FailStart(named);
    if (ForGood(named)) sink_->Fail(named);
    return Disconnect(named);
  }
  if (--ungrouped_ > 0) return;
  backoff_.Reset();
  if (std::exchange(complained_, false)) {
    Log(Severity::kInfo,
        absl::StrCat(loop_->options().Address(), ": connected again, group ", options_.group, " consumes"));
  }
  // What the server gave us and we never saw: its answer was lost with the connection.
  if (was_connected_) {
    for (size_t i = 0; i < streams_.size(); ++i) {
      for (const bool is_retry : {false, true}) AskHistory(static_cast<int>(i), is_retry, "0");
    }
  }
  was_connected_ = true;
  next_tick_ = absl::InfinitePast();
  if (!std::exchange(started_, true)) {
    absl::MutexLock lock(&mutex_);
    start_done_ = true;
  }
}

void Member::AskHistory(int stream, bool is_retry, std::string_view after) {
  Ask({.kind = Asked::Kind::kHistory, .stream = stream, .is_retry = is_retry})
      .Command({"XREADGROUP", "GROUP", options_.group, options_.member, "COUNT", absl::StrCat(kHistoryCount), "STREAMS",
                SourceKey(stream, is_retry), after});
}

void Member::AskTick(absl::Time now) {
  const RedisOptions& options = loop_->options();
  const size_t rounds = (streams_.size() + kStreamsATick - 1) / kStreamsATick;
  next_tick_ = now + kTick * rounds;
  next_due_ = absl::InfiniteFuture();
  const Room room = sink_->room();
  const std::string limit = absl::StrCat(room.bytes == 0 ? 0 : std::min(room.messages, kMaxCount));
  const std::string idle = absl::StrCat(absl::ToInt64Milliseconds(options.claim_idle));
  const std::string lease = absl::StrCat(absl::ToInt64Milliseconds(options.claim_idle));
  const bool trim = now >= next_trim_ && (options.retention > absl::ZeroDuration() || options.max_length > 0);
  if (trim) next_trim_ = now + kTrimEvery;
  for (size_t i = 0; i < streams_.size(); ++i) {
    const GroupKeys& keys = streams_[i].keys;
    const int stream = static_cast<int>(i);
    if (streams_[i].partitioned) {
      Ask({.kind = Asked::Kind::kLease, .stream = stream})
          .Command({"EVAL", kLease, "1", keys.owner, options_.member, lease});
    }
    if (!streams_[i].owned) continue;
    Ask({.kind = Asked::Kind::kDue, .stream = stream})
        .Command({"EVAL", kMoveDue, "3", keys.due, keys.held, keys.retry, kMaxDue});
    for (const bool is_retry : {false, true}) {
      Ask({.kind = Asked::Kind::kTake, .stream = stream, .is_retry = is_retry})
          .Command({"EVAL", kTake, "2", SourceKey(stream, is_retry), keys.begun, options_.group, options_.member, idle,
                    limit});
    }
    if (trim) {
      Ask({}).Command({"EVAL", kTrim, "1", keys.stream, absl::StrCat(absl::ToInt64Milliseconds(options.retention)),
                       absl::StrCat(options.max_length)});
    }
  }
}

void Member::AskRead() {
  if (reading_) return;
  {
    absl::MutexLock lock(&delivering_);
    if (!fetching_) return;
  }
  const Room room = sink_->room();
  if (room.messages == 0 || room.bytes == 0) return;
  std::vector<int> which;
  const size_t most = std::min({streams_.size(), kMaxStreams, std::max<size_t>(room.messages / 2, 1)});
  for (size_t n = 0; n < streams_.size() && which.size() < most; ++n) {
    const size_t i = (first_stream_ + n) % streams_.size();
    if (streams_[i].owned) which.push_back(static_cast<int>(i));
  }
  if (which.empty()) return;
  first_stream_ = (first_stream_ + which.size()) % streams_.size();
  const auto by_bytes = static_cast<size_t>(static_cast<double>(room.bytes) / mean_bytes_);
  const size_t count = std::clamp<size_t>(std::min(room.messages, by_bytes) / which.size(), 1, kMaxCount);
  CommandBuffer& out = reader_->out;
  out.Begin(9 + 4 * which.size());
  for (const std::string_view argument :
       {std::string_view("XREADGROUP"), std::string_view("GROUP"), std::string_view(options_.group),
        std::string_view(options_.member), std::string_view("COUNT")}) {
    out.Arg(argument);
  }
  out.Arg(absl::StrCat(count));
  out.Arg("BLOCK");
  // When others wait for their turn, this one does not block.
  out.Arg(which.size() < streams_.size() ? "1" : kBlockMilliseconds);
  out.Arg("STREAMS");
  for (const int i : which) {
    out.Arg(streams_[i].keys.retry);
    out.Arg(streams_[i].keys.stream);
  }
  for (size_t i = 0; i < 2 * which.size(); ++i) out.Arg(">");
  reading_ = true;
  unblock_asked_ = false;
  read_since_ = Now();
}

void Member::AskVerdicts() {
  std::vector<Settlement> verdicts;
  std::vector<RedisRecord*> dropped;
  {
    absl::MutexLock lock(&mutex_);
    verdicts.swap(verdicts_);
    dropped.swap(dropped_);
  }
  if (verdicts.empty() && dropped.empty()) return;
  struct Gathered {
    std::vector<Settlement> acks, releases;
    std::vector<RedisRecord*> dropped;
  };
  std::map<std::pair<int, bool>, Gathered> gathered;
  for (Settlement& settlement : verdicts) {
    auto* const record = static_cast<RedisRecord*>(settlement.delivery.record());
    Gathered& group = gathered[{record->stream, record->is_retry}];
    if (settlement.verdict == Settlement::Verdict::kRelease) {
      group.releases.push_back(std::move(settlement));
    } else if (settlement.verdict == Settlement::Verdict::kBegin) {
      AskBegin(std::move(settlement));
    } else if (settlement.copies != nullptr && !settlement.copies->empty()) {
      AskCopies(std::move(settlement));
    } else {
      group.acks.push_back(std::move(settlement));
    }
  }
  for (RedisRecord* record : dropped) gathered[{record->stream, record->is_retry}].dropped.push_back(record);
  for (auto& [place, group] : gathered) {
    if (!group.acks.empty()) AskAcks(place.first, place.second, std::move(group.acks));
    if (!group.releases.empty() || !group.dropped.empty()) {
      AskReleases(place.first, place.second, std::move(group.releases), std::move(group.dropped));
    }
  }
}

void Member::AskAcks(int stream, bool is_retry, std::vector<Settlement> settlements) {
  const std::string& key = SourceKey(stream, is_retry);
  for (size_t from = 0; from < settlements.size(); from += kMaxIds) {
    const size_t to = std::min(settlements.size(), from + kMaxIds);
    Asked asked{.kind = Asked::Kind::kAck, .stream = stream, .is_retry = is_retry};
    std::vector<std::string_view> noted;
    asked.settlements.assign(std::make_move_iterator(settlements.begin() + static_cast<ptrdiff_t>(from)),
                             std::make_move_iterator(settlements.begin() + static_cast<ptrdiff_t>(to)));
    auto add = [&](CommandBuffer& out, std::initializer_list<std::string_view> start) {
      out.Begin(start.size() + asked.settlements.size());
      for (const std::string_view argument : start) out.Arg(argument);
      for (const Settlement& settlement : asked.settlements) {
        out.Arg(static_cast<RedisRecord*>(settlement.delivery.record())->entry);
      }
    };
    for (const Settlement& settlement : asked.settlements) {
      auto* const record = static_cast<RedisRecord*>(settlement.delivery.record());
      if (record->noted) noted.push_back(record->entry);
    }
    CommandBuffer& out = commands_->out;
    // The answer to the last of them answers for all: they are done in their order.
    add(out, {"XACK", key, options_.group});
    if (!noted.empty() || is_retry) Ask({});
    if (!noted.empty()) {
      out.Begin(2 + noted.size());
      out.Arg("HDEL");
      out.Arg(streams_[stream].keys.begun);
      for (const std::string_view id : noted) out.Arg(id);
      if (is_retry) Ask({});
    }
    if (is_retry) add(out, {"XDEL", key});
    Ask(std::move(asked));
  }
}

void Member::AskReleases(int stream, bool is_retry, std::vector<Settlement> settlements,
                         std::vector<RedisRecord*> dropped) {
  std::vector<std::string_view> ids;
  for (const Settlement& settlement : settlements) {
    ids.push_back(static_cast<RedisRecord*>(settlement.delivery.record())->entry);
  }
  for (const RedisRecord* record : dropped) ids.push_back(record->entry);
  for (size_t from = 0; from < ids.size(); from += kMaxIds) {
    const size_t to = std::min(ids.size(), from + kMaxIds);
    // The last answers for all.
    Asked asked{.kind = to == ids.size() ? Asked::Kind::kRelease : Asked::Kind::kIgnore, .stream = stream};
    if (to == ids.size()) asked.settlements = std::move(settlements);
    CommandBuffer& out = Ask(std::move(asked));
    out.Begin(7 + to - from - 0);
    out.Arg("EVAL");
    out.Arg(kRelease);
    out.Arg("2");
    out.Arg(SourceKey(stream, is_retry));
    out.Arg(streams_[stream].keys.retry);
    out.Arg(options_.group);
    out.Arg(options_.member);
    for (size_t i = from; i < to; ++i) out.Arg(ids[i]);
  }
  for (RedisRecord* record : dropped) Free(record);
}

void Member::AskCopies(Settlement settlement) {
  auto* const record = static_cast<RedisRecord*>(settlement.delivery.record());
  const GroupKeys& keys = streams_[record->stream].keys;
  std::vector<std::string> arguments = {options_.group, options_.member, std::string(record->entry),
                                        record->is_retry ? "1" : "0"};
  absl::Duration first_delay = absl::InfiniteDuration();
  for (const Copy& copy : *settlement.copies) {
    const bool dead = copy.kind == Copy::Kind::kDeadLetter;
    const int64_t delay = absl::ToInt64Milliseconds(absl::Ceil(copy.delay, absl::Milliseconds(1)));
    arguments.push_back(dead ? "dead" : "retry");
    arguments.push_back(absl::StrCat(std::max<int64_t>(delay, 0)));
    arguments.push_back(absl::StrCat(record->entry, record->is_retry ? "r" : "", " ", copy.failure.handler));
    Parts parts = CopyParts(*record, copy, options_.group, absl::Now());
    arguments.push_back(absl::StrCat(parts.values.size()));
    for (std::string& value : parts.values) arguments.push_back(std::move(value));
    if (!dead) first_delay = std::min(first_delay, copy.delay);
  }
  next_due_ = std::min(next_due_, Now() + first_delay);
  Asked asked{.kind = Asked::Kind::kSettle, .stream = record->stream};
  asked.settlements.push_back(std::move(settlement));
  CommandBuffer& out = Ask(std::move(asked));
  out.Begin(9 + arguments.size());
  for (const std::string_view argument :
       {std::string_view("EVAL"), std::string_view(kSettle), std::string_view("6"), std::string_view(keys.stream),
        std::string_view(keys.retry), std::string_view(keys.due), std::string_view(keys.held),
        std::string_view(keys.dead), std::string_view(keys.begun)}) {
    out.Arg(argument);
  }
  for (const std::string& argument : arguments) out.Arg(argument);
}

void Member::AskBegin(Settlement settlement) {
  auto* const record = static_cast<RedisRecord*>(settlement.delivery.record());
  const Copy& begin = settlement.copies->front();
  const absl::Time not_before = absl::Now() + begin.delay;
  const std::string note =
      absl::StrCat(begin.failure.attempts, " ", begin.delay > absl::ZeroDuration() ? absl::ToUnixMicros(not_before) : 0,
                   " ", begin.failure.handler);
  record->noted = true;
  const int stream = record->stream;
  const std::string& key = SourceKey(stream, record->is_retry);
  const std::string_view entry = record->entry;
  Asked asked{.kind = Asked::Kind::kBegin, .stream = stream};
  asked.settlements.push_back(std::move(settlement));
  Ask(std::move(asked))
      .Command({"EVAL", kBegin, "2", key, streams_[stream].keys.begun, options_.group, options_.member, entry, note});
}

void Member::AskLeave() {
  if (leave_asked_) return;
  // A read that waits could still be given something.
  if (reading_) {
    if (!std::exchange(unblock_asked_, true) && !reader_->id().empty()) {
      Ask({}).Command({"CLIENT", "UNBLOCK", reader_->id()});
    }
    return;
  }
  leave_asked_ = true;
  for (size_t i = 0; i < streams_.size(); ++i) {
    const GroupKeys& keys = streams_[i].keys;
    const std::string& retry = keys.retry;
    Ask({}).Command({"EVAL", kLeave, "2", keys.stream, retry, options_.group, options_.member});
    Ask({}).Command({"EVAL", kLeave, "2", retry, retry, options_.group, options_.member});
    if (streams_[i].partitioned && streams_[i].owned) {
      Ask({}).Command({"DEL", keys.owner});
    }
  }
  Ask({.kind = Asked::Kind::kLeave}).Command({"PING"});
}

void Member::OnReply(Connection* connection, ReplyPtr reply) {
  if (!broken_.ok()) return;
  if (connection == reader_.get()) {
    OnReadReply(std::move(reply));
    return;
  }
  Asked asked = std::move(asked_.front());
  asked_.pop_front();
  asked_since_ = Now();
  OnCommandReply(std::move(asked), std::move(reply));
}

void Member::OnCommandReply(Asked asked, ReplyPtr reply) {
  using Kind = Asked::Kind;
  const bool is_error = IsError(*reply);
  absl::Status status;
  if (is_error) status = StatusOfError(View(*reply), loop_->options());
  if (status.code() == absl::StatusCode::kNotFound && asked.kind != Kind::kIgnore) Lost(status);
  switch (asked.kind) {
    case Kind::kIgnore:
      break;
    case Kind::kGroup:
      OnGroup(asked, *reply);
      break;
    case Kind::kHistory:
      if (!is_error) OnHistory(asked, std::move(reply));
      break;
    case Kind::kTake:
      if (!is_error) OnTaken(asked, std::move(reply));
      break;
    case Kind::kDue:
      if (!is_error) OnDue(*reply);
      break;
    case Kind::kLease:
      if (!is_error) OnLease(asked, *reply);
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
    case Kind::kLeave: {
      loop_->Post([self = shared_from_this()] {
        self->Disconnect(absl::CancelledError("the subscription is closed"));
        self->loop_->Remove(self.get());
        absl::MutexLock lock(&self->mutex_);
        self->close_done_ = true;
      });
      break;
    }
  }
}

void Member::Lost(const absl::Status& why) {
  if (!joined()) return;
  Log(Severity::kWarning, absl::StrCat("group ", options_.group, " is gone and made again: ", why.message()));
  MakeGroups();
}

void Member::Answer(std::vector<Settlement> settlements, const absl::Status& status) {
  for (Settlement& settlement : settlements) {
    settlement.status = status;
    const bool out = (status.ok() && settlement.verdict != Settlement::Verdict::kBegin) ||
                     status.code() == absl::StatusCode::kCancelled;
    if (out) Free(static_cast<RedisRecord*>(settlement.delivery.Take()));
    answers_.push_back(std::move(settlement));
  }
}

void Member::AfterReplies() {
  if (!answers_.empty()) sink_->Settled(std::exchange(answers_, {}));
  if (broken_.ok()) return;
  const absl::Status why = std::exchange(broken_, absl::OkStatus());
  if (!started_ && ForGood(why)) return FailStart(why);
  if (started_ && why.code() == absl::StatusCode::kFailedPrecondition) sink_->Fail(why);  // Another type of key.
  Disconnect(why);
}

void Member::OnReadReply(ReplyPtr reply) {
  reading_ = false;
  if (IsError(*reply)) {
    const absl::Status why = StatusOfError(View(*reply), loop_->options());
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

void Member::OnHistory(const Asked& asked, ReplyPtr reply) {
  const redisReply* const part = Element(*reply, 0);
  const redisReply* const entries = part == nullptr ? nullptr : Element(*part, 1);
  if (entries == nullptr || entries->elements == 0) return;
  absl::flat_hash_set<std::string_view> known;
  for (const RedisRecord* record = in_hand_; record != nullptr; record = record->next) {
    if (record->stream == asked.stream && record->is_retry == asked.is_retry) known.insert(record->entry);
  }
  if (entries->elements == kHistoryCount) {
    AskHistory(asked.stream, asked.is_retry, View(*entries->element[kHistoryCount - 1]->element[0]));
  }
  auto batch = std::make_unique<Batch>(std::move(reply));
  for (size_t i = 0; i < entries->elements; ++i) {
    const redisReply& entry = *entries->element[i];
    const std::string_view id = View(*entry.element[0]);
    if (known.contains(id)) continue;
    if (entry.element[1]->type != REDIS_REPLY_ARRAY) {  // Deleted meanwhile.
      Ask({}).Command({"XACK", SourceKey(asked.stream, asked.is_retry), options_.group, id});
      continue;
    }
    RedisRecord* const record = AddRecord(*batch, asked.stream, asked.is_retry, entry);
    if (record != nullptr) record->redelivered = true;
  }
  Deliver(std::move(batch));
}

void Member::OnTaken(const Asked& asked, ReplyPtr reply) {
  auto batch = std::make_unique<Batch>(std::move(reply));
  for (size_t i = 0; i < batch->reply->elements; ++i) {
    const redisReply& taken = *batch->reply->element[i];
    if (taken.elements != 3 || !IsEntry(taken.element[0])) continue;
    RedisRecord* const record = AddRecord(*batch, asked.stream, asked.is_retry, *taken.element[0]);
    if (record == nullptr) continue;
    record->redelivered = true;
    if (View(*taken.element[2]) == "1") record->suspect = true;
    ReadNote(View(*taken.element[1]), *record);
  }
  Deliver(std::move(batch));
}

void Member::OnDue(const redisReply& reply) {
  const redisReply* const wait = Element(reply, 1);
  if (wait == nullptr || wait->integer < 0) return;
  next_due_ = std::min(next_due_, Now() + absl::Milliseconds(std::max<int64_t>(wait->integer, 1)));
}

void Member::OnLease(const Asked& asked, const redisReply& reply) {
  Stream& stream = streams_[asked.stream];
  const bool owned = reply.integer == 1;
  if (owned == stream.owned) return;
  stream.owned = owned;
  if (owned) {
    next_tick_ = absl::InfinitePast();
    return;
  }
  const int number = asked.stream;
  sink_->Revoke([number](const Record& record) { return static_cast<const RedisRecord&>(record).stream == number; });
}

RedisRecord* Member::AddRecord(Batch& batch, int stream, bool is_retry, const redisReply& entry) {
  if (!IsEntry(&entry)) return nullptr;
  RedisRecord& record = batch.records.emplace_back();
  record.stream = stream;
  record.is_retry = is_retry;
  record.topic = options_.topics[streams_[stream].topic].topic;
  record.owner = this;
  record.batch = &batch;
  if (!ReadEntry(entry, record)) {
    // Somebody gave something back: that is all it says.
    const std::string& key = SourceKey(stream, is_retry);
    Ask({}).Command({"XACK", key, options_.group, record.entry});
    Ask({}).Command({"XDEL", key, record.entry});
    next_tick_ = absl::InfinitePast();
    batch.records.pop_back();
    return nullptr;
  }
  record.next = in_hand_;
  if (in_hand_ != nullptr) in_hand_->previous = &record;
  in_hand_ = &record;
  ++batch.live;
  return &record;
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
  Batch* const batch = record->batch;
  if (--batch->live == 0) delete batch;
}

void Member::Disconnect(const absl::Status& why) {
  if (reader_ == nullptr) return;
  reader_.reset();
  commands_.reset();
  reading_ = leave_asked_ = unblock_asked_ = false;
  ungrouped_ = 0;
  retry_at_ = next_step_ = Now() + backoff_.Next();
  for (Asked& asked : std::exchange(asked_, {})) {
    if (!asked.settlements.empty()) Answer(std::move(asked.settlements), why);
  }
  if (!answers_.empty()) sink_->Settled(std::exchange(answers_, {}));
  if (why.code() != absl::StatusCode::kCancelled && !std::exchange(complained_, true)) {
    Log(Severity::kWarning,
        absl::StrCat("group ", options_.group, " does not consume, and connects again: ", why.message()));
  }
}

void Member::OnLost(Connection*, const absl::Status& why) { Disconnect(why); }

}  // namespace messaging::redis
