// What a subscription asks of the server.
#include <algorithm>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "messaging/broker/clock.h"
#include "redis/member.h"
#include "redis/scripts.h"

namespace messaging::redis {
namespace {

constexpr char kBlockMilliseconds[] = "1000";
constexpr size_t kMaxCount = 1'000;    // Read at a time of one stream.
constexpr size_t kMaxStreams = 1'000;  // Read at a time.
constexpr size_t kMaxIds = 1'000;      // In one command.
constexpr char kMaxDue[] = "500";      // Moved at a time.
constexpr absl::Duration kTrimEvery = absl::Minutes(1);
constexpr size_t kStreamsATick = 16;  // With more of them the ticks of one come less often.
constexpr size_t kReserve = 4;        // Of the room every so manyth message is left to what others leave.

absl::Time Now() { return Clock::Steady().Now(); }

// An id may be in both streams.
std::string_view NoteSuffix(bool is_retry) { return is_retry ? "r" : ""; }

}  // namespace

CommandBuffer& Member::Ask(Asked asked) {
  if (asked_.empty()) asked_since_ = Now();
  asked_.push_back(std::move(asked));
  return commands_->out;
}

void Member::MakeGroups() {
  // A group that was there and is gone (FLUSHALL, a stream deleted) begins at the beginning: what came since counts.
  const bool now = subscribe_.start_at == StartAt::kNow && !was_connected_;
  for (size_t i = 0; i < streams_.size(); ++i) {
    const GroupKeys& keys = streams_[i].keys;
    const int stream = static_cast<int>(i);
    Ask({.kind = Asked::Kind::kGroup, .stream = stream})
        .Command({"XGROUP", "CREATE", keys.stream, subscribe_.group, now ? "$" : "0", "MKSTREAM"});
    Ask({.kind = Asked::Kind::kGroup, .stream = stream, .is_retry = true})
        .Command({"XGROUP", "CREATE", keys.retry, subscribe_.group, "0", "MKSTREAM"});
    ungrouped_ += 2;
  }
}

// What the server gave us and we never saw, as its answer was lost with the connection. No read is on its way
// meanwhile: what it brings would be in both.
void Member::AskHistories() {
  if (reading_) return AskUnblock();
  history_wanted_ = false;
  for (size_t i = 0; i < streams_.size(); ++i) {
    if (streams_[i].partitioned()) continue;  // First it has to be ours.
    for (const bool is_retry : {false, true}) AskHistory(static_cast<int>(i), is_retry, "0");
  }
}

void Member::AskHistory(int stream, bool is_retry, std::string_view after) {
  ++histories_;
  Ask({.kind = Asked::Kind::kHistory, .stream = stream, .is_retry = is_retry})
      .Command({"XREADGROUP", "GROUP", subscribe_.group, subscribe_.member, "COUNT", absl::StrCat(kHistoryCount),
                "STREAMS", SourceKey(stream, is_retry), after});
}

void Member::AskTick(absl::Time now) {
  const size_t rounds = (streams_.size() + kStreamsATick - 1) / kStreamsATick;
  next_tick_ = now + kTick * rounds;
  next_due_ = absl::InfiniteFuture();
  const Room room = sink_->room();
  size_t spare = RoomToTake();
  const size_t share = std::clamp<size_t>(spare / (2 * streams_.size()), 1, kMaxCount);
  const std::string idle = absl::StrCat(absl::ToInt64Milliseconds(options_.claim_idle));
  const bool trim = now >= next_trim_ && (options_.retention > absl::ZeroDuration() || options_.max_length > 0);
  if (trim) next_trim_ = now + kTrimEvery;
  ++ticks_;
  int assigned = -1;
  for (size_t n = 0; n < streams_.size(); ++n) {
    const size_t i = (n + static_cast<size_t>(ticks_)) % streams_.size();  // The first ones get what there is.
    const GroupKeys& keys = streams_[i].keys;
    const int stream = static_cast<int>(i);
    const bool reads = room.Reads(subscribe_.topics[streams_[i].topic].topic);
    if (streams_[i].partitioned()) {
      if (std::exchange(assigned, streams_[i].topic) != streams_[i].topic) {
        const MemberKeys members(subscribe_.topics[streams_[i].topic].topic, subscribe_.group);
        Ask({.kind = Asked::Kind::kAssign, .stream = stream})
            .Command({"EVAL", kAssign, "2", members.alive, members.active, subscribe_.member, idle,
                      was_fetching_ ? "1" : "0"});
      }
      AskPartition(stream, now);
      if (!streams_[i].readable(now)) continue;
    } else {
      for (const bool is_retry : {false, true}) {
        const size_t limit = reads ? std::min(spare, share) : 0;
        spare -= limit;
        Ask({.kind = Asked::Kind::kTake, .stream = stream, .is_retry = is_retry, .limit = limit})
            .Command({"EVAL", kTake, "2", SourceKey(stream, is_retry), keys.begun, subscribe_.group, subscribe_.member,
                      idle, absl::StrCat(limit), now >= take_others_at_ ? "1" : "0", NoteSuffix(is_retry)});
      }
    }
    Ask({.kind = Asked::Kind::kDue, .stream = stream})
        .Command({"EVAL", kMoveDue, "3", keys.due, keys.held, keys.retry, kMaxDue});
    if (trim) {
      Ask({}).Command({"EVAL", kTrim, "1", keys.stream, absl::StrCat(absl::ToInt64Milliseconds(options_.retention)),
                       absl::StrCat(options_.max_length), options_.trim_unhandled ? "1" : "0"});
    }
  }
}

// What is in hand, and what the read that is on its way may bring, is not exceeded by more than a message.
size_t Member::RoomToTake() {
  const Room room = sink_->room();
  const size_t promised = reading_ ? read_promised_ : room.messages - room.messages / kReserve;
  if (room.bytes == 0 || room.messages <= promised) return 0;
  return std::min(room.messages - promised, static_cast<size_t>(static_cast<double>(room.bytes) / mean_bytes_) + 1);
}

void Member::AskPartition(int number, absl::Time now) {
  Stream& stream = streams_[number];
  if (stream.claim == Stream::Claim::kLeaving && stream.keyed_in_hand == 0) {
    if (!stream.reading) {
      stream.claim = Stream::Claim::kNone;
      stream.lease_until = absl::InfinitePast();
      Ask({}).Command({"EVAL", kUnlease, "1", stream.keys.owner, subscribe_.member});
      return;
    }
    AskUnblock();
  }
  if (stream.claim == Stream::Claim::kNone && !stream.wanted) return;
  Ask({.kind = Asked::Kind::kLease, .stream = number, .when = now})
      .Command({"EVAL", kLease, "1", stream.keys.owner, subscribe_.member,
                absl::StrCat(absl::ToInt64Milliseconds(options_.claim_idle))});
  // What a member held that gave its partition away and then died.
  if (stream.claim == Stream::Claim::kOwned && ticks_ % 10 == 0) {
    for (const bool is_retry : {false, true}) AskAdopt(number, is_retry);
  }
}

void Member::AskAdopt(int number, bool is_retry) {
  Stream& stream = streams_[number];
  const MemberKeys members(subscribe_.topics[stream.topic].topic, subscribe_.group);
  ++stream.adopting;
  Ask({.kind = Asked::Kind::kAdopt, .stream = number, .is_retry = is_retry})
      .Command({"EVAL", kAdopt, "3", SourceKey(number, is_retry), stream.keys.begun, members.alive, subscribe_.group,
                subscribe_.member, absl::StrCat(kHistoryCount), NoteSuffix(is_retry)});
}

void Member::AskRead() {
  if (reading_ || history_wanted_ || histories_ > 0) return;
  {
    absl::MutexLock lock(&delivering_);
    if (!fetching_) return;
  }
  const Room room = sink_->room();
  if (room.messages == 0 || room.bytes == 0) return;
  const absl::Time now = Now();
  std::vector<int> which;
  const size_t messages = room.messages - room.messages / kReserve;
  const size_t most = std::min({streams_.size(), kMaxStreams, std::max<size_t>(messages / 2, 1)});
  for (size_t n = 0; n < streams_.size() && which.size() < most; ++n) {
    const size_t i = (first_stream_ + n) % streams_.size();
    if (!streams_[i].readable(now) || !room.Reads(subscribe_.topics[streams_[i].topic].topic)) continue;
    which.push_back(static_cast<int>(i));
  }
  if (which.empty()) return;
  first_stream_ = (first_stream_ + which.size()) % streams_.size();
  const auto by_bytes = static_cast<size_t>(static_cast<double>(room.bytes) / mean_bytes_);
  const size_t count = std::clamp<size_t>(std::min(messages, by_bytes) / (2 * which.size()), 1, kMaxCount);
  read_promised_ = count * 2 * which.size();
  CommandBuffer& out = reader_->out;
  out.Begin(9 + 4 * which.size());
  for (const std::string_view argument :
       {std::string_view("XREADGROUP"), std::string_view("GROUP"), std::string_view(subscribe_.group),
        std::string_view(subscribe_.member), std::string_view("COUNT")}) {
    out.Arg(argument);
  }
  out.Arg(absl::StrCat(count));
  out.Arg("BLOCK");
  // When others wait for their turn, this one does not block.
  out.Arg(which.size() == most && most < streams_.size() ? "1" : kBlockMilliseconds);
  out.Arg("STREAMS");
  for (const int i : which) {
    streams_[i].reading = true;
    out.Arg(streams_[i].keys.retry);
    out.Arg(streams_[i].keys.stream);
  }
  for (size_t i = 0; i < 2 * which.size(); ++i) out.Arg(">");
  reading_ = true;
  unblock_asked_ = false;
  read_since_ = now;
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
    add(out, {"XACK", key, subscribe_.group});
    if (!noted.empty() || is_retry) Ask({});
    if (!noted.empty()) {
      out.Begin(2 + noted.size());
      out.Arg("HDEL");
      out.Arg(streams_[stream].keys.begun);
      for (const std::string_view id : noted) out.Arg(absl::StrCat(id, NoteSuffix(is_retry)));
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
    out.Arg(subscribe_.group);
    out.Arg(subscribe_.member);
    for (size_t i = from; i < to; ++i) out.Arg(ids[i]);
  }
  for (RedisRecord* record : dropped) Free(record);
}

void Member::AskCopies(Settlement settlement) {
  auto* const record = static_cast<RedisRecord*>(settlement.delivery.record());
  const GroupKeys& keys = streams_[record->stream].keys;
  std::vector<std::string> arguments = {subscribe_.group, subscribe_.member, std::string(record->entry),
                                        record->is_retry ? "1" : "0"};
  absl::Duration first_delay = absl::InfiniteDuration();
  for (const Copy& copy : *settlement.copies) {
    const bool dead = copy.kind == Copy::Kind::kDeadLetter;
    const int64_t delay = absl::ToInt64Milliseconds(absl::Ceil(copy.delay, absl::Milliseconds(1)));
    arguments.push_back(dead ? "dead" : "retry");
    arguments.push_back(absl::StrCat(std::max<int64_t>(delay, 0)));
    arguments.push_back(absl::StrCat(record->entry, record->is_retry ? "r" : "", " ", copy.failure.handler));
    Parts parts = CopyParts(*record, copy, subscribe_.group, absl::Now());
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
      .Command({"EVAL", kBegin, "2", key, streams_[stream].keys.begun, subscribe_.group, subscribe_.member, entry, note,
                NoteSuffix(record->is_retry)});
}

void Member::AskUnblock() {
  if (!reading_ || std::exchange(unblock_asked_, true) || reader_->id().empty()) return;
  Ask({}).Command({"CLIENT", "UNBLOCK", reader_->id()});
}

void Member::AskLeave() {
  if (leave_asked_) return;
  if (reading_) return AskUnblock();  // It could still be given something.
  leave_asked_ = true;
  for (size_t i = 0; i < streams_.size(); ++i) {
    const GroupKeys& keys = streams_[i].keys;
    const std::string& retry = keys.retry;
    Ask({}).Command({"EVAL", kLeave, "2", keys.stream, retry, subscribe_.group, subscribe_.member});
    Ask({}).Command({"EVAL", kLeave, "2", retry, retry, subscribe_.group, subscribe_.member});
    if (streams_[i].partitioned()) {
      const MemberKeys members(subscribe_.topics[streams_[i].topic].topic, subscribe_.group);
      Ask({}).Command({"EVAL", kUnlease, "1", keys.owner, subscribe_.member});
      Ask({}).Command({"ZREM", members.alive, subscribe_.member});
      Ask({}).Command({"ZREM", members.active, subscribe_.member});
    }
  }
  Ask({.kind = Asked::Kind::kLeave}).Command({"PING"});
}

}  // namespace messaging::redis
