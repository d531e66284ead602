// A simulated broker: a server and what its driver does, in virtual time, with one topic and one group. Each model
// keeps what its server is known to do (sim_leases.cc, sim_claims.cc, sim_queue.cc) as simply as possible,
// and answers for its driver as messaging/broker/broker.h asks.
#ifndef TESTS_SIMULATION_SIM_BROKER_H_
#define TESTS_SIMULATION_SIM_BROKER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/delivery.h"
#include "tests/simulation/plan.h"

namespace simulation {

// One message for the group, or one copy of it for one handler.
struct Entry {
  int64_t id = 0;  // In the order of storing.
  int message = 0;
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
  int64_t partition = 0;
};

struct SimRecord : messaging::Record {
  Entry entry;  // As it was given out; the views point into it.
  int member = 0;
  int64_t generation = 0;  // Of the claim, or the connection.
  std::string payload_text;
};

struct DeadEntry {
  int message;
  messaging::Failure failure;
};

// What the world has to know; and where randomness comes from.
class Events {
 public:
  virtual ~Events() = default;
  // An original or copy is done for good, with what was stored for it.
  virtual void Done(const Entry& entry, const std::vector<messaging::Copy>& copies) = 0;
  // That so many attempts were started was written down.
  virtual void Recorded(int message, const std::string& handler, int attempts) = 0;
  // The server has it twice from now on, as a step of settling was lost.
  virtual void Forked(int message, const std::string& handler) = 0;
  // What `member` has of it is no longer its own: another gets it.
  virtual void TakenOver(int member, const Entry& entry) = 0;
  // DeliverySink::Revoke.
  virtual void Revoke(int member, const std::function<bool(const SimRecord&)>& which) = 0;
  // There is something new for members to look at.
  virtual void Wake() = 0;
  virtual int Draw(int below) = 0;
};

class SimBroker : public messaging::RecordOwner {
 public:
  // `plan` and `events` outlive it.
  SimBroker(const Plan& plan, Events* events) : plan_(plan), events_(*events) {}
  static std::unique_ptr<SimBroker> Make(const Plan& plan, Events* events);
  virtual bool orders_group() const = 0;  // Else: order per key within a member only.

  virtual void Send(int message, std::string key, bool has_key) = 0;
  virtual void Join(int member, absl::Time now) { members_.insert(member); }
  // Up to `room` messages for the member; `now` is the server's clock.
  virtual std::vector<messaging::Delivery> Fetch(int member, size_t room, absl::Time now) = 0;
  // Verdicts have reached the server: applied, the status set. Finish takes out what is settled when the answer is
  // back.
  virtual void Settle(int member, messaging::Settlement& settlement, absl::Time now) = 0;
  static void Finish(messaging::Settlement& settlement);
  // The verdict (or, `applied`, its answer) was lost with the connection: what the driver answers.
  virtual void AnswerLost(messaging::Settlement& settlement, bool applied);
  // A delivery was lost on its way.
  virtual void Vanish(messaging::Delivery delivery);
  virtual bool Owns(const SimRecord& record) const = 0;
  // What a member's driver does by itself, at NextTick at the latest.
  virtual void Tick(int member, absl::Time now) {}
  virtual absl::Time NextTick(int member, absl::Time now) const = 0;
  // The member's connection is lost; it comes back at once, or when the server does.
  virtual void Disconnect(int member, absl::Time now) {}
  // The server has not heard of a stalled member for long enough.
  virtual void TimeOut(int member, absl::Time now) {}
  // The member is gone, its records are still to be dropped. Clean: it gave back what it had.
  virtual void Leave(int member, bool clean, absl::Time now) = 0;
  void Drop(messaging::Record* record) override;

  virtual bool empty() const = 0;
  virtual std::string Describe() const = 0;
  const std::vector<DeadEntry>& dead() const { return dead_; }
  void set_refusing(bool refusing) { refusing_ = refusing; }

 protected:
  messaging::Delivery Give(const Entry& entry, int member);
  // What a live member gives back without a verdict.
  virtual void GiveBack(const SimRecord& record) {}
  // The retry copy's entry, without a place; a dead letter is put where it belongs: nullopt.
  std::optional<Entry> MakeCopy(const Entry& original, const messaging::Copy& copy, absl::Time now);
  void Record(Entry& entry, const messaging::Copy& begin, absl::Time now);
  static const std::vector<messaging::Copy>& CopiesOf(const messaging::Settlement& settlement);
  static std::string Describe(const Entry& entry);

  const Plan& plan_;
  Events& events_;
  std::set<int> members_;  // Incarnations.
  std::vector<DeadEntry> dead_;
  int64_t next_id_ = 0;
  bool refusing_ = false;
};

std::unique_ptr<SimBroker> MakeSimLeases(const Plan& plan, Events* events);
std::unique_ptr<SimBroker> MakeSimClaims(const Plan& plan, Events* events);
std::unique_ptr<SimBroker> MakeSimQueue(const Plan& plan, Events* events);

}  // namespace simulation

#endif  // TESTS_SIMULATION_SIM_BROKER_H_
