// Redis: a log, a cursor of the group's, and a list of what was given out and not acknowledged, by member and idle
// time. A read's reply may be lost, and its entries are in the list all the same: a member asks for its history when it
// is connected again. What lies idle is claimed by others; a member refreshes its own. A verdict and its copies are one
// script, which looks whether the entry is its member's.
#include <algorithm>
#include <set>
#include <utility>

#include "tests/simulation/plant.h"
#include "tests/simulation/sim_broker.h"

namespace simulation {
namespace {

using messaging::Copy;
using messaging::Delivery;
using messaging::Settlement;

constexpr absl::Duration kIdle = absl::Seconds(1);
constexpr absl::Duration kTickEvery = absl::Milliseconds(200);
constexpr int kNew = -1;
constexpr int kReleased = -2;

class SimClaims : public SimBroker {
 public:
  using SimBroker::SimBroker;
  bool orders_group() const override { return false; }

  void Send(int message, std::string key, bool has_key) override {
    Store({.message = message, .key = std::move(key), .has_key = has_key, .owner = kNew});
  }

  void Join(int member, absl::Time now) override {
    members_.insert(member);
    ticks_[member] = {};
  }

  std::vector<Delivery> Fetch(int member, size_t room, absl::Time now) override {
    std::vector<Delivery> batch;
    DriverState& driver = ticks_[member];
    if (std::exchange(driver.history, false) && !Planted("history-forgotten")) {
      for (auto& [id, pending] : log_) {  // Whatever the room is: it has them already.
        if (pending.entry.owner == member && pending.unseen) Take(pending, member, now, batch);
      }
    }
    if (std::exchange(driver.take, false)) TakeLeft(member, room, now, batch);
    for (auto& [id, pending] : log_) {
      if (batch.size() >= room) break;
      if (pending.entry.owner == kNew && pending.entry.due <= now) Take(pending, member, now, batch);
    }
    return batch;
  }

  void Settle(int member, Settlement& settlement, absl::Time now) override {
    const auto& record = *static_cast<SimRecord*>(settlement.delivery.record());
    const auto found = log_.find(record.entry.id);
    const bool there = found != log_.end();
    const bool mine = there && found->second.entry.owner == member;  // By name, as the server knows it.
    if (!mine && !(Planted("settles-what-is-anothers") && there)) {
      settlement.status = absl::CancelledError("claimed by another");
      if (Planted("settled-twice") && settlement.copies != nullptr) StoreCopies(record.entry, *settlement.copies, now);
      return;
    }
    if (settlement.copies != nullptr && refusing_) {
      settlement.status = absl::UnavailableError("no place for copies");
      return;
    }
    settlement.status = absl::OkStatus();
    Pending& pending = log_.at(record.entry.id);
    if (settlement.verdict == Settlement::Verdict::kBegin) {
      return Record(pending.entry, settlement.copies->front(), now);
    }
    if (settlement.verdict == Settlement::Verdict::kRelease) return Release(pending);
    const std::vector<Copy>& copies = CopiesOf(settlement);
    events_.Done(pending.entry, copies);
    const Entry original = pending.entry;
    log_.erase(original.id);
    StoreCopies(original, copies, now);
  }

  bool Owns(const SimRecord& record) const override {
    const auto found = log_.find(record.entry.id);
    return found != log_.end() && found->second.entry.owner == record.member &&
           found->second.claim == record.generation;
  }

  void Vanish(Delivery delivery) override {
    const auto& record = *static_cast<SimRecord*>(delivery.record());
    if (Owns(record)) log_.at(record.entry.id).unseen = true;
    SimBroker::Vanish(std::move(delivery));
  }

  void Tick(int member, absl::Time now) override {
    DriverState& driver = ticks_[member];
    if (now < driver.next) return;
    driver.next = now + kTickEvery;
    driver.take = true;
    for (auto& [id, pending] : log_) {
      if (pending.entry.owner == member && !Planted("claims-not-refreshed")) pending.since = now;
    }
  }

  absl::Time NextTick(int member, absl::Time now) const override {
    absl::Time next = log_.empty() ? absl::InfiniteFuture() : ticks_.at(member).next;
    for (const auto& [id, pending] : log_) {
      if (pending.entry.owner == kNew) next = std::min(next, std::max(pending.entry.due, now + absl::Milliseconds(10)));
    }
    return next;
  }

  void Disconnect(int member, absl::Time now) override { ticks_[member].history = true; }

  void Leave(int member, bool clean, absl::Time now) override {
    members_.erase(member);
    ticks_.erase(member);
    if (!clean) return;  // What it had lies idle.
    for (auto& [id, pending] : log_) {
      if (pending.entry.owner == member) Release(pending);
    }
  }

  bool empty() const override { return log_.empty(); }
  std::string Describe() const override {
    std::string text;
    for (const auto& [id, pending] : log_) text += SimBroker::Describe(pending.entry);
    return text;
  }

 private:
  struct Pending {
    Entry entry;
    absl::Time since = absl::InfinitePast();
    int64_t claim = 0;    // Changes whenever it is given out.
    bool unseen = false;  // The reply that gave it out was lost.
    std::set<int> had;    // Members to whom it was given out ...
    int last = -1;        // ... the last of them.
  };
  struct DriverState {
    absl::Time next = absl::InfinitePast();
    bool take = false;
    bool history = false;
  };

  void GiveBack(const SimRecord& record) override { Release(log_.at(record.entry.id)); }

  void Store(Entry entry) {
    entry.id = next_id_++;
    entry.owner = kNew;
    log_[entry.id] = {.entry = std::move(entry)};
  }

  void StoreCopies(const Entry& original, const std::vector<Copy>& copies, absl::Time now) {
    for (const Copy& copy : copies) {
      if (std::optional<Entry> stored = MakeCopy(original, copy, now)) Store(*std::move(stored));
    }
  }

  void Release(Pending& pending) {
    pending.entry.owner = kReleased;
    pending.entry.suspect = false;
    pending.entry.redelivered = true;
  }

  void Take(Pending& pending, int member, absl::Time now, std::vector<Delivery>& batch) {
    if (pending.unseen) pending.entry.redelivered = true;
    // A verdict that a stalled member had in mind, before another had its message, counts again: by name it is its own.
    if (!pending.had.insert(member).second && pending.last != member) Doubled(pending.entry);
    pending.last = member;
    pending.entry.owner = member;
    pending.since = now;
    pending.unseen = false;
    pending.claim = next_claim_++;
    Delivery delivery = Give(pending.entry, member);
    static_cast<SimRecord*>(delivery.record())->generation = pending.claim;
    batch.push_back(std::move(delivery));
  }

  void Doubled(const Entry& entry) {
    for (const HandlerPlan& handler : plan_.handlers) {
      if (entry.handler.empty() || entry.handler == handler.name) events_.Forked(entry.message, handler.name);
    }
  }

  // What was released, and what lies idle in others' hands.
  void TakeLeft(int member, size_t room, absl::Time now, std::vector<Delivery>& batch) {
    for (auto& [id, pending] : log_) {
      if (batch.size() >= room) return;
      Entry& entry = pending.entry;
      const bool idle = entry.owner >= 0 && entry.owner != member && now - pending.since >= kIdle;
      if (entry.owner != kReleased && !idle) continue;
      if (idle && members_.contains(entry.owner)) events_.TakenOver(entry.owner, entry);
      if (idle && !Planted("claimed-is-no-suspect")) entry.suspect = true;
      entry.redelivered = true;
      Take(pending, member, now, batch);
    }
  }

  std::map<int64_t, Pending> log_;
  std::map<int, DriverState> ticks_;
  int64_t next_claim_ = 0;
};

}  // namespace

std::unique_ptr<SimBroker> MakeSimClaims(const Plan& plan, Events* events) {
  return std::make_unique<SimClaims>(plan, events);
}

}  // namespace simulation
