// RabbitMQ: one queue; deliveries belong to a connection, and when that ends they are back in their place, marked as
// redelivered. An acknowledgement is not answered: it may be lost with the connection after the driver took it for
// given. Copies are published with confirms, before it: what was confirmed and not acknowledged is there twice.
#include <algorithm>
#include <utility>

#include "tests/simulation/plant.h"
#include "tests/simulation/sim_broker.h"

namespace simulation {
namespace {

using messaging::Copy;
using messaging::Delivery;
using messaging::Settlement;

class SimQueue : public SimBroker {
 public:
  using SimBroker::SimBroker;
  bool orders_group() const override { return false; }

  void Send(int message, std::string key, bool has_key) override {
    Store({.message = message, .key = std::move(key), .has_key = has_key});
  }

  void Join(int member, absl::Time now) override {
    members_.insert(member);
    connections_[member] = next_connection_++;
  }

  std::vector<Delivery> Fetch(int member, size_t room, absl::Time now) override {
    Arrive(now);
    std::vector<Delivery> batch;
    for (auto& [id, held] : queue_) {
      if (batch.size() >= room) break;
      if (held.entry.owner >= 0 || held.entry.due > now) continue;
      held.entry.owner = member;
      held.connection = connections_.at(member);
      Delivery delivery = Give(held.entry, member);
      static_cast<SimRecord*>(delivery.record())->generation = held.connection;
      batch.push_back(std::move(delivery));
      if (Planted("acknowledged-early")) gone_.insert(id);
    }
    return batch;
  }

  void Settle(int member, Settlement& settlement, absl::Time now) override {
    Arrive(now);
    const auto& record = *static_cast<SimRecord*>(settlement.delivery.record());
    if (!Owns(record)) {
      settlement.status = absl::CancelledError("its connection is gone");
      return;
    }
    Held& held = queue_.at(record.entry.id);
    const bool refused = settlement.copies != nullptr && refusing_;
    if (refused && Planted("acknowledged-before-confirm") && settlement.verdict == Settlement::Verdict::kAck) {
      return Acknowledge(held, {}, now);
    }
    if (refused) {
      settlement.status = absl::UnavailableError("the broker did not confirm");
      return;
    }
    settlement.status = absl::OkStatus();
    switch (settlement.verdict) {
      case Settlement::Verdict::kBegin:
        return Record(held.entry, settlement.copies->front(), now);
      case Settlement::Verdict::kRelease:
        return Requeue(held);
      case Settlement::Verdict::kAck:
        return Acknowledge(held, CopiesOf(settlement), now);
    }
  }

  void AnswerLost(Settlement& settlement, bool applied) override {
    // What its connection had is requeued, whatever became of the verdict.
    settlement.status = absl::CancelledError("its connection is gone");
  }

  bool Owns(const SimRecord& record) const override {
    const auto found = queue_.find(record.entry.id);
    return found != queue_.end() && found->second.entry.owner == record.member &&
           found->second.connection == record.generation && found->second.acked_at == absl::InfiniteFuture();
  }

  absl::Time NextTick(int member, absl::Time now) const override {
    absl::Time next = absl::InfiniteFuture();
    for (const auto& [id, held] : queue_) {
      const absl::Time at = held.entry.owner < 0 ? held.entry.due : held.acked_at;
      next = std::min(next, std::max(at, now + absl::Milliseconds(10)));
    }
    return next;
  }
  void Tick(int member, absl::Time now) override { Arrive(now); }

  void Disconnect(int member, absl::Time now) override { EndConnection(member, now); }
  void TimeOut(int member, absl::Time now) override { EndConnection(member, now); }  // No heartbeat came.

  void Leave(int member, bool clean, absl::Time now) override {
    members_.erase(member);
    if (clean) Arrive(now + absl::Seconds(1));  // It waits until its last words are out.
    RequeueAll(member, now);
    connections_.erase(member);
  }

  bool empty() const override { return queue_.empty(); }
  std::string Describe() const override {
    std::string text;
    for (const auto& [id, held] : queue_) text += SimBroker::Describe(held.entry);
    return text;
  }

 private:
  struct Held {
    Entry entry;
    int64_t connection = 0;
    absl::Time acked_at = absl::InfiniteFuture();  // When the acknowledgement that is on its way arrives.
    std::vector<Copy> copies;                      // Stored before it.
  };

  void GiveBack(const SimRecord& record) override { Requeue(queue_.at(record.entry.id)); }

  void Store(Entry entry) {
    entry.id = next_id_++;
    entry.owner = -1;
    const int64_t id = entry.id;
    queue_[id] = {.entry = std::move(entry)};
  }

  void Acknowledge(Held& held, const std::vector<Copy>& copies, absl::Time now) {
    held.acked_at = now + absl::Milliseconds(events_.Draw(5));
    held.copies = copies;
    const Entry original = held.entry;
    for (const Copy& copy : copies) {
      if (std::optional<Entry> stored = MakeCopy(original, copy, now)) Store(*std::move(stored));
    }
  }

  // Acknowledgements reach the server.
  void Arrive(absl::Time now) {
    for (auto held = queue_.begin(); held != queue_.end();) {
      if (held->second.acked_at > now) {
        ++held;
        continue;
      }
      events_.Done(held->second.entry, held->second.copies);
      held = queue_.erase(held);
    }
  }

  void Requeue(Held& held) {
    held.entry.owner = -1;
    held.entry.redelivered = true;
    // Whose fault it was that it comes again the server does not say.
    held.entry.suspect = !Planted("redelivered-is-no-suspect");
  }

  void RequeueAll(int member, absl::Time now) {
    Arrive(now);
    for (auto held = queue_.begin(); held != queue_.end();) {
      Entry& entry = held->second.entry;
      if (entry.owner != member) {
        ++held;
        continue;
      }
      if (gone_.contains(entry.id) || Planted("requeue-forgotten")) {
        held = queue_.erase(held);
        continue;
      }
      if (members_.contains(member)) events_.TakenOver(member, entry);
      // Its acknowledgement was lost on its way, after these were stored.
      for (const Copy& copy : held->second.copies) events_.Forked(entry.message, copy.failure.handler);
      held->second.acked_at = absl::InfiniteFuture();
      held->second.copies.clear();
      Requeue(held->second);
      ++held;
    }
  }

  void EndConnection(int member, absl::Time now) {
    RequeueAll(member, now);
    const int64_t ended = connections_.at(member);
    connections_[member] = next_connection_++;
    events_.Revoke(member, [ended](const SimRecord& record) { return record.generation == ended; });
  }

  std::map<int64_t, Held> queue_;
  std::set<int64_t> gone_;
  std::map<int, int64_t> connections_;  // By member.
  int64_t next_connection_ = 0;
};

}  // namespace

std::unique_ptr<SimBroker> MakeSimQueue(const Plan& plan, Events* events) {
  return std::make_unique<SimQueue>(plan, events);
}

}  // namespace simulation
