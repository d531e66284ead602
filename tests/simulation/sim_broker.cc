#include "tests/simulation/sim_broker.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/simulation/plant.h"

namespace simulation {

using messaging::Copy;
using messaging::Delivery;
using messaging::Settlement;

std::unique_ptr<SimBroker> SimBroker::Make(const Plan& plan, Events* events) {
  switch (plan.model) {
    case Model::kClaims:
      return MakeSimClaims(plan, events);
    case Model::kQueue:
      return MakeSimQueue(plan, events);
    case Model::kLeases:
      break;
  }
  return MakeSimLeases(plan, events);
}

Delivery SimBroker::Give(const Entry& entry, int member) {
  auto* record = new SimRecord;
  record->entry = entry;
  record->member = member;
  record->payload_text = absl::StrCat(entry.message);
  record->topic = "topic";
  record->payload = record->payload_text;
  record->key = record->entry.key;
  record->has_key = entry.has_key;
  record->handler = record->entry.handler;
  record->position = entry.message;
  record->attempts_of = record->entry.attempts_of;
  record->attempts = entry.attempts;
  record->redelivered = entry.redelivered;
  record->suspect = entry.suspect;
  record->not_before = entry.not_before;
  record->first_failure = entry.first_failure;
  record->owner = this;
  return Delivery(record);
}

void SimBroker::Finish(Settlement& settlement) {
  const bool settled = settlement.status.ok() || absl::IsCancelled(settlement.status);
  if (settled && settlement.verdict != Settlement::Verdict::kBegin)
    delete static_cast<SimRecord*>(settlement.delivery.Take());
}

void SimBroker::AnswerLost(Settlement& settlement, bool applied) {
  settlement.status = absl::UnavailableError("the connection was lost");
}

void SimBroker::Vanish(Delivery delivery) { delete static_cast<SimRecord*>(delivery.Take()); }

void SimBroker::Drop(messaging::Record* record) {
  auto* mine = static_cast<SimRecord*>(record);
  if (members_.contains(mine->member) && Owns(*mine)) GiveBack(*mine);
  delete mine;
}

std::optional<Entry> SimBroker::MakeCopy(const Entry& original, const Copy& copy, absl::Time now) {
  if (copy.kind == Copy::Kind::kDeadLetter) {
    dead_.push_back({original.message, copy.failure});
    if (Planted("dead-letter-twice")) dead_.push_back({original.message, copy.failure});
    return std::nullopt;
  }
  return Entry{.message = original.message,
               .key = original.key,
               .has_key = original.has_key,
               .handler = copy.failure.handler,
               .attempts = copy.failure.attempts + (Planted("attempt-counted-twice") ? 1 : 0),
               .suspect = copy.suspect,
               .due = now + (Planted("retries-early") ? copy.delay / 2 : copy.delay),
               .first_failure = copy.failure.first,
               .partition = original.partition};
}

void SimBroker::Record(Entry& entry, const Copy& begin, absl::Time now) {
  if (Planted("begin-not-written")) return;
  entry.attempts = begin.failure.attempts;
  entry.attempts_of = begin.failure.handler;
  entry.not_before = now + begin.delay;
  events_.Recorded(entry.message, entry.attempts_of, entry.attempts);
}

const std::vector<Copy>& SimBroker::CopiesOf(const Settlement& settlement) {
  static const std::vector<Copy> none;
  return settlement.copies != nullptr && !Planted("retry-forgotten") ? *settlement.copies : none;
}

std::string SimBroker::Describe(const Entry& entry) {
  return absl::StrCat("  message ", entry.message, " key ", entry.key, " handler ", entry.handler, " attempts ",
                      entry.attempts, entry.suspect ? " suspect" : "", " owner ", entry.owner, " due ",
                      absl::FormatTime(entry.due), "\n");
}

}  // namespace simulation
