// SQLite: rows in the order of sending, each leased to one member, and with it its key. A dead member is seen by its
// lock, when another looks. A verdict and its copies are one transaction; another writer may hold the file for too
// long.
#include <algorithm>
#include <utility>

#include "tests/simulation/plant.h"
#include "tests/simulation/sim_broker.h"

namespace simulation {
namespace {

using messaging::Copy;
using messaging::Delivery;
using messaging::Settlement;

class SimLeases : public SimBroker {
 public:
  using SimBroker::SimBroker;
  bool orders_group() const override { return true; }

  void Send(int message, std::string key, bool has_key) override {
    Store({.message = message, .key = std::move(key), .has_key = has_key});
  }

  std::vector<Delivery> Fetch(int member, size_t room, absl::Time now) override {
    Sweep(now);
    std::map<std::string, int> key_owner;
    for (const auto& [id, entry] : rows_) {
      if (entry.owner >= 0 && entry.has_key) key_owner[entry.key] = entry.owner;
    }
    std::vector<Delivery> batch;
    for (auto& [id, entry] : rows_) {
      if (batch.size() >= room) break;
      if (entry.owner >= 0 || entry.due > now) continue;
      if (entry.has_key && !Planted("key-shared")) {
        auto [owner, added] = key_owner.try_emplace(entry.key, member);
        if (owner->second != member) continue;
      }
      entry.owner = member;
      batch.push_back(Give(entry, member));
    }
    return batch;
  }

  void Settle(int member, Settlement& settlement, absl::Time now) override {
    const auto& record = *static_cast<SimRecord*>(settlement.delivery.record());
    if (!Owns(record)) {
      settlement.status = absl::CancelledError("taken over");
      return;
    }
    if ((settlement.copies != nullptr && refusing_) || events_.Draw(50) == 0) {
      settlement.status = absl::UnavailableError("the file is locked");
      return;
    }
    settlement.status = absl::OkStatus();
    Entry& entry = rows_.at(record.entry.id);
    switch (settlement.verdict) {
      case Settlement::Verdict::kBegin:
        return Record(entry, settlement.copies->front(), now);
      case Settlement::Verdict::kRelease:
        if (Planted("release-is-ack")) break;
        return Free(entry, /*suspect=*/false);
      case Settlement::Verdict::kAck:
        break;
    }
    const std::vector<Copy>& copies = CopiesOf(settlement);
    events_.Done(entry, copies);
    const Entry original = entry;
    rows_.erase(entry.id);
    for (const Copy& copy : copies) {
      if (std::optional<Entry> stored = MakeCopy(original, copy, now)) Store(*std::move(stored));
    }
  }

  bool Owns(const SimRecord& record) const override {
    const auto row = rows_.find(record.entry.id);
    return row != rows_.end() && row->second.owner == record.member;
  }

  absl::Time NextTick(int member, absl::Time now) const override {
    absl::Time next = absl::InfiniteFuture();
    for (const auto& [id, entry] : rows_) {
      if (entry.owner < 0) next = std::min(next, std::max(entry.due, now + absl::Milliseconds(10)));
    }
    for (const auto& [dead, seen] : dead_members_) next = std::min(next, seen);
    return next;
  }

  void Leave(int member, bool clean, absl::Time now) override {
    members_.erase(member);
    if (clean) return FreeAll(member, /*suspects=*/false);
    dead_members_[member] = now + absl::Milliseconds(events_.Draw(300));
  }

  bool empty() const override { return rows_.empty(); }
  std::string Describe() const override {
    std::string text;
    for (const auto& [id, entry] : rows_) text += SimBroker::Describe(entry);
    return text;
  }

 private:
  void GiveBack(const SimRecord& record) override { Free(rows_.at(record.entry.id), /*suspect=*/false); }

  void Store(Entry entry) {
    entry.id = next_id_++;
    rows_[entry.id] = std::move(entry);
  }

  void Free(Entry& entry, bool suspect) {
    entry.owner = -1;
    entry.redelivered = true;
    entry.suspect = suspect && !Planted("crash-makes-no-suspects");
    if (suspect && Planted("bystander-counted")) ++entry.attempts;
  }

  void FreeAll(int member, bool suspects) {
    for (auto& [id, entry] : rows_) {
      if (entry.owner == member) Free(entry, suspects || entry.suspect);
    }
  }

  void Sweep(absl::Time now) {
    if (Planted("dead-not-swept")) return;
    for (auto dead = dead_members_.begin(); dead != dead_members_.end();) {
      if (dead->second > now) {
        ++dead;
        continue;
      }
      FreeAll(dead->first, /*suspects=*/true);
      dead = dead_members_.erase(dead);
    }
  }

  std::map<int64_t, Entry> rows_;
  std::map<int, absl::Time> dead_members_;  // When somebody looks.
};

}  // namespace

std::unique_ptr<SimBroker> MakeSimLeases(const Plan& plan, Events* events) {
  return std::make_unique<SimLeases>(plan, events);
}

}  // namespace simulation
