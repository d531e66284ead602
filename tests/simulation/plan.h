// What a run of the simulation consists of: drawn from a seed, and made smaller when it fails.
#ifndef TESTS_SIMULATION_PLAN_H_
#define TESTS_SIMULATION_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "messaging/handler_options.h"

namespace simulation {

// Whose semantics the simulated broker has.
enum class Model {
  kLeases,  // SQLite: rows that a member leases, keys in one member's hands.
  kClaims,  // Redis: a log with a pending list, claimed when it lies idle.
  kQueue,   // RabbitMQ: a queue, deliveries of a connection, requeue, confirms.
};
inline constexpr Model kModels[] = {Model::kLeases, Model::kClaims, Model::kQueue};
std::string_view Name(Model model);  // By the broker: "sqlite", ...
std::optional<Model> FindModel(std::string_view name);

// What a handler does with a message, whenever it is called with it.
enum class Behaviour { kOk, kFailSome, kFailAlways, kPermanent, kReject, kKill };

struct HandlerPlan {
  std::string name;
  messaging::HandlerOptions options;
  bool is_batch = false;
  bool is_async = false;
  bool has_breaker() const { return options.breaker.failures > 0 || options.breaker.share > 0; }
};

struct MessagePlan {
  std::string key;  // "-": none.
  absl::Duration sent_at;
  std::vector<Behaviour> behaviours;  // By handler.
  std::vector<int> failures;          // kFailSome: how often, before it succeeds.
};

struct Fault {
  enum class Kind {
    kCrash,       // Of a member; it starts again soon.
    kStop,        // As by SIGTERM, and a start.
    kRefuse,      // The places of retries and dead letters take nothing.
    kDisconnect,  // A member's connection is lost: what was on its way is, too, in either direction.
    kServerDown,  // All connections are lost, and none is made meanwhile.
    kStall,       // A member does nothing, and comes back.
    kClock,       // A member's clock jumps.
    kPause,       // A member pauses a handler, or the topic, and resumes it.
  };
  Kind kind;
  absl::Duration at;
  int member = 0;
  absl::Duration lasts;  // kClock: by so much.
  int handler = -1;      // kPause: -1 is the topic; all handlers have the same.
};
std::string_view Name(Fault::Kind kind);

struct Plan {
  Model model = Model::kLeases;
  uint64_t seed = 0;
  std::vector<HandlerPlan> handlers;
  std::vector<MessagePlan> messages;
  std::vector<Fault> faults;
  int members = 1;
  int workers = 1;
  size_t max_messages = 10;
  absl::Duration outage_from, outage_until;  // What handlers with a breaker need is away.
};

Plan DrawPlan(uint64_t seed, Model model);
std::string Describe(const Plan& plan);

// A part of it for which `fails` holds still: without messages, faults, members and handlers that are not needed.
Plan Shrink(Plan plan, const std::function<bool(const Plan&)>& fails);

}  // namespace simulation

#endif  // TESTS_SIMULATION_PLAN_H_
