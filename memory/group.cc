#include "memory/group.h"

#include <cstdlib>
#include <utility>

namespace messaging::memory_internal {

GroupTopic::Lease* GroupTopic::Claim(uint64_t key_hash, const Member* member) {
  auto [found, fresh] = leases_.try_emplace(key_hash);
  Lease& lease = found->second;
  if (fresh) {
    lease.owner = member;
  } else if (lease.owner != member || lease.parked != nullptr) {
    if (lease.parked == nullptr) lease.parked = std::make_unique<Parked>();
    return &lease;
  }
  ++lease.in_hand;
  return nullptr;
}

void GroupTopic::Unclaim(uint64_t key_hash) {
  auto found = leases_.find(key_hash);
  Lease& lease = found->second;
  if (--lease.in_hand > 0) return;
  if (lease.parked != nullptr) {
    available_.insert(lease.parked->positions.begin(), lease.parked->positions.end());
    for (auto& retry : lease.parked->retries) retries_.emplace(retry->due, std::move(retry));
  }
  leases_.erase(found);
}

void GroupTopic::Collect(const Member* member, bool ordered, size_t limit, int64_t& bytes, int& duplicates,
                         absl::Time now, Slab& slab) {
  while (slab.used < limit && bytes > 0) {
    bool taken = false;
    if (!retries_.empty() && retries_.begin()->first.first <= now) {
      taken = CollectRetry(member, ordered, slab);
      if (taken) bytes -= static_cast<int64_t>(slab.recs[slab.used - 1].ByteSize());
      continue;
    }
    if (!available_.empty()) {
      const int64_t position = *available_.begin();
      available_.erase(available_.begin());
      --parked_or_available_;
      states_[position - low_] = State::kInHand;
      taken = CollectPosition(position, member, ordered, slab);
    } else if (next_ < topic_->end()) {
      states_.push_back(State::kInHand);
      taken = CollectPosition(next_++, member, ordered, slab);
    } else {
      return;
    }
    if (!taken) continue;
    const Rec& rec = slab.recs[slab.used - 1];
    bytes -= static_cast<int64_t>(rec.ByteSize());
    if (duplicates > 0) {
      --duplicates;
      AddRetry(Duplicate(rec, now));
    }
  }
}

Rec& GroupTopic::Add(Slab& slab, const Stored& message, int64_t position, const Note& note) {
  if (slab.used == slab.recs.size()) std::abort();  // Views into it would move.
  Rec& rec = slab.recs[slab.used++];
  rec.from = this;
  rec.slab = &slab;
  rec.topic = topic_->name();
  rec.payload = message.payload;
  rec.key = message.key;
  rec.has_key = message.has_key;
  rec.null_payload = message.null_payload;
  rec.position = position;
  rec.timestamp = message.timestamp;
  rec.id = message.id;
  rec.content_type = message.content_type;
  rec.headers = message.headers;
  rec.handler = {};
  rec.attempts = note.attempts;
  rec.attempts_of = note.attempts_of;
  rec.redelivered = note.redelivered;
  rec.suspect = note.suspect;
  rec.not_before = note.not_before;
  rec.first_failure = absl::InfinitePast();
  rec.last_error = {};
  rec.retry = nullptr;
  rec.key_hash = message.key_hash;
  rec.claimed = true;
  return rec;
}

bool GroupTopic::CollectPosition(int64_t position, const Member* member, bool ordered, Slab& slab) {
  const std::shared_ptr<Segment>& segment = topic_->SegmentOf(position);
  const Stored& message = segment->messages[position % Segment::kSize];
  const bool leased = ordered && message.has_key;
  if (leased) {
    if (Lease* taken = Claim(message.key_hash, member)) {
      taken->parked->positions.push_back(position);
      states_[position - low_] = State::kWaiting;
      ++parked_or_available_;
      return false;
    }
  }
  static const Note kNone;
  const auto note = notes_.empty() ? notes_.end() : notes_.find(position);
  Add(slab, message, position, note == notes_.end() ? kNone : note->second).leased = leased;
  if (slab.segments.empty() || slab.segments.back() != segment) slab.segments.push_back(segment);
  return true;
}

bool GroupTopic::CollectRetry(const Member* member, bool ordered, Slab& slab) {
  std::shared_ptr<Retry> retry = std::move(retries_.begin()->second);
  retries_.erase(retries_.begin());
  const bool leased = ordered && retry->message.has_key;
  if (leased) {
    if (Lease* taken = Claim(retry->message.key_hash, member)) {
      taken->parked->retries.push_back(std::move(retry));
      return false;
    }
  }
  --waiting_retries_;
  Rec& rec = Add(slab, retry->message, retry->position, retry->note);
  rec.leased = leased;
  rec.handler = retry->handler;
  rec.first_failure = retry->first_failure;
  rec.last_error = retry->last_error;
  rec.retry = std::move(retry);
  return true;
}

std::shared_ptr<Retry> GroupTopic::Duplicate(const Rec& rec, absl::Time now) {
  auto retry = std::make_shared<Retry>();
  retry->message = Stored::Copy(topic_->At(rec.position), retry->arena);
  retry->position = rec.position;
  retry->note.redelivered = true;
  retry->due = {now, --duplicates_};  // Retries count from zero upwards.
  return retry;
}

void GroupTopic::AddRetry(std::shared_ptr<Retry> retry) {
  ++waiting_retries_;
  retries_.emplace(retry->due, std::move(retry));
}

void GroupTopic::Done(Rec& rec) {
  rec.claimed = false;
  if (rec.retry == nullptr) {
    states_[rec.position - low_] = State::kDone;
    while (!states_.empty() && states_.front() == State::kDone) {
      states_.pop_front();
      ++low_;
    }
    if (!notes_.empty()) notes_.erase(rec.position);
  }
  if (rec.leased) Unclaim(rec.key_hash);
}

void GroupTopic::Return(Rec& rec, bool suspect) {
  rec.claimed = false;
  Parked free;
  Parked* parked = &free;
  if (rec.leased) {
    std::unique_ptr<Parked>& own = leases_.find(rec.key_hash)->second.parked;
    if (own == nullptr) own = std::make_unique<Parked>();
    parked = own.get();
  }
  Note& note = rec.retry != nullptr ? rec.retry->note : notes_[rec.position];
  note.redelivered = true;
  note.suspect |= suspect;
  if (rec.retry != nullptr) {
    ++waiting_retries_;
    parked->retries.push_back(rec.retry);
  } else {
    states_[rec.position - low_] = State::kWaiting;
    ++parked_or_available_;
    parked->positions.push_back(rec.position);
  }
  if (rec.leased) return Unclaim(rec.key_hash);
  available_.insert(free.positions.begin(), free.positions.end());
  for (auto& retry : free.retries) retries_.emplace(retry->due, std::move(retry));
}

void GroupTopic::Begun(Rec& rec, const std::string& handler, int attempts, absl::Time not_before) {
  Note& note = rec.retry != nullptr ? rec.retry->note : notes_[rec.position];
  note.attempts = attempts;
  note.attempts_of = *names_.insert(handler).first;
  note.not_before = not_before;
}

}  // namespace messaging::memory_internal
