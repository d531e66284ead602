#include "tests/simulation/sim_broker.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"

namespace simulation {

using messaging::Copy;
using messaging::Delivery;
using messaging::Record;
using messaging::Settlement;

struct SimBroker::SimRecord : Record {
  int member = 0;
  std::list<Entry>::iterator entry;
  // Views must not dangle when the entry is taken over: copies of its texts.
  std::string key_text;
  std::string handler_text;
  std::string payload_text;
  std::string attempts_text;
};

void SimBroker::Send(int message, std::string key, bool has_key) {
  entries_.push_back({.message = message, .sequence = next_sequence_++, .key = std::move(key), .has_key = has_key});
}

std::vector<Delivery> SimBroker::Fetch(int member, size_t room, absl::Time now) {
  std::map<std::string, int> key_owner;
  for (const Entry& entry : entries_) {
    if (entry.owner >= 0 && entry.has_key) key_owner[entry.key] = entry.owner;
  }
  std::vector<Delivery> batch;
  for (auto entry = entries_.begin(); entry != entries_.end() && batch.size() < room; ++entry) {
    if (entry->owner >= 0 || entry->due > now) continue;
    if (entry->has_key) {
      auto [owner, added] = key_owner.try_emplace(entry->key, member);
      if (owner->second != member) continue;
    }
    entry->owner = member;
    auto* record = new SimRecord;
    record->member = member;
    record->entry = entry;
    record->key_text = entry->key;
    record->handler_text = entry->handler;
    record->payload_text = absl::StrCat(entry->message);
    record->topic = "topic";
    record->payload = record->payload_text;
    record->key = record->key_text;
    record->has_key = entry->has_key;
    record->handler = record->handler_text;
    record->position = entry->message;
    record->attempts_text = entry->attempts_of;
    record->attempts_of = record->attempts_text;
    record->attempts = entry->attempts;
    record->redelivered = entry->redelivered;
    record->suspect = entry->suspect;
    record->not_before = entry->not_before;
    record->first_failure = entry->first_failure;
    record->owner = this;
    batch.emplace_back(record);
  }
  return batch;
}

void SimBroker::Settle(int member, Settlement& settlement, absl::Time now) {
  auto* record = static_cast<SimRecord*>(settlement.delivery.record());
  // A member that is gone answers to nobody; its entries may be anybody's.
  if (record->member != member || record->entry->owner != member) {
    settlement.status = absl::CancelledError("taken over");
    settlement.delivery.Take();
    delete record;
    return;
  }
  if (settlement.copies != nullptr && refusing_) {
    settlement.status = absl::UnavailableError("no place for copies");
    return;
  }
  Entry& entry = *record->entry;
  settlement.status = absl::OkStatus();
  switch (settlement.verdict) {
    case Settlement::Verdict::kBegin:
      entry.attempts = settlement.copies->front().failure.attempts;
      on_begin_(entry.message, settlement.copies->front().failure.handler, entry.attempts);
      entry.attempts_of = settlement.copies->front().failure.handler;
      entry.not_before = now + settlement.copies->front().delay;
      return;
    case Settlement::Verdict::kRelease:
      entry.owner = -1;
      entry.suspect = false;
      entry.redelivered = true;
      break;
    case Settlement::Verdict::kAck: {
      static const std::vector<Copy> none;
      const std::vector<Copy>& copies = settlement.copies != nullptr ? *settlement.copies : none;
      on_ack_(entry, copies);
      for (const Copy& copy : copies) Store(entry, copy, now);
      entries_.erase(record->entry);
      break;
    }
  }
  settlement.delivery.Take();
  delete record;
}

void SimBroker::Store(const Entry& original, const Copy& copy, absl::Time now) {
  if (copy.kind == Copy::Kind::kDeadLetter) {
    dead_.push_back({original.message, copy.failure});
    return;
  }
  entries_.push_back({.message = original.message,
                      .sequence = next_sequence_++,
                      .key = original.key,
                      .has_key = original.has_key,
                      .handler = copy.failure.handler,
                      .attempts = copy.failure.attempts,
                      .suspect = copy.suspect,
                      .due = now + copy.delay,
                      .first_failure = copy.failure.first});
}

void SimBroker::Leave(int member, bool clean) {
  for (Entry& entry : entries_) {
    if (entry.owner != member) continue;
    entry.owner = -1;
    entry.redelivered = true;
    entry.suspect = entry.suspect || !clean;
  }
}

void SimBroker::Drop(Record* record) {
  auto* mine = static_cast<SimRecord*>(record);
  // The entry of a member that left is not looked at: it may be gone.
  delete mine;
}

absl::Time SimBroker::NextDue(absl::Time now) const {
  absl::Time next = absl::InfiniteFuture();
  for (const Entry& entry : entries_) {
    if (entry.owner < 0) next = std::min(next, std::max(entry.due, now));
  }
  return next;
}

std::string SimBroker::Describe() const {
  std::string text;
  for (const Entry& entry : entries_) {
    absl::StrAppend(&text, "  message ", entry.message, " key ", entry.key, " handler ", entry.handler, " attempts ",
                    entry.attempts, entry.suspect ? " suspect" : "", " owner ", entry.owner, " due ",
                    absl::FormatTime(entry.due), "\n");
  }
  return text;
}

}  // namespace simulation
