// A simulated broker for the engine's simulation: one topic log, one group, members that share it. Semantics are those
// that messaging/broker/broker.h promises, kept as simply as possible; the faults are drawn from the world's random
// numbers.
#ifndef TESTS_SIMULATION_SIM_BROKER_H_
#define TESTS_SIMULATION_SIM_BROKER_H_

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/delivery.h"

namespace simulation {

// One message for the group, or one copy of it for one handler.
struct Entry {
  int message = 0;
  int64_t sequence = 0;
  std::string key;
  bool has_key = false;
  std::string handler;  // Empty: all.
  int attempts = 0;
  std::string attempts_of;
  bool redelivered = false;
  bool suspect = false;
  absl::Time due = absl::InfinitePast();
  absl::Time not_before = absl::InfinitePast();
  absl::Time first_failure = absl::InfinitePast();
  int owner = -1;  // The incarnation of the member that has it.
};

struct DeadEntry {
  int message;
  messaging::Failure failure;
};

class SimBroker : public messaging::RecordOwner {
 public:
  // `on_ack` is told of each original or copy that is done, with what was stored for it: the checker's hook.
  using OnAck = std::function<void(const Entry&, const std::vector<messaging::Copy>&)>;
  using OnBegin = std::function<void(int message, const std::string& handler, int attempts)>;
  SimBroker(OnAck on_ack, OnBegin on_begin) : on_ack_(std::move(on_ack)), on_begin_(std::move(on_begin)) {}

  void Send(int message, std::string key, bool has_key);
  // Up to `room` messages for the member; a key in flight elsewhere stays there.
  std::vector<messaging::Delivery> Fetch(int member, size_t room, absl::Time now);
  // Applies one verdict and answers it in place.
  void Settle(int member, messaging::Settlement& settlement, absl::Time now);
  // The member is gone. Clean: what it still has is free again; unclean: suspects.
  void Leave(int member, bool clean);
  void Drop(messaging::Record* record) override;

  bool empty() const { return entries_.empty(); }
  absl::Time NextDue(absl::Time now) const;
  const std::vector<DeadEntry>& dead() const { return dead_; }
  // Refuse to store copies: the dead-letter and retry place is away.
  void set_refusing(bool refusing) { refusing_ = refusing; }
  std::string Describe() const;

 private:
  struct SimRecord;
  void Store(const Entry& original, const messaging::Copy& copy, absl::Time now);

  OnAck on_ack_;
  OnBegin on_begin_;
  std::list<Entry> entries_;  // By sequence: the order of sending, copies at the end.
  std::vector<DeadEntry> dead_;
  int64_t next_sequence_ = 0;
  bool refusing_ = false;
};

}  // namespace simulation

#endif  // TESTS_SIMULATION_SIM_BROKER_H_
