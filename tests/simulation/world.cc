#include "tests/simulation/world.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "messaging/dispatch/engine.h"
#include "tests/simulation/checker.h"
#include "tests/simulation/sim_broker.h"

namespace simulation {
namespace {

using messaging::Delivery;
using messaging::Engine;
using messaging::EngineHandler;
using messaging::EngineLimits;
using messaging::Order;
using messaging::Settlement;

constexpr absl::Duration kFaults = absl::Seconds(12);  // Every fault is over by then.
constexpr absl::Duration kLimit = absl::Hours(2);
constexpr absl::Duration kLongCall = absl::Milliseconds(20);

// One process: an engine and its workers.
struct Member {
  int incarnation = -1;
  std::unique_ptr<Engine> engine;
  int idle_workers = 0;
  bool stopping = false;
  bool closed = false;                                   // It was told not to read, and waits to be told otherwise.
  std::set<int> paused;                                  // Handlers.
  int gates = 0;                                         // Counts pauses.
  absl::Time timer = absl::InfinitePast();               // When it will be pumped by itself.
  std::map<Engine::Task*, std::pair<int, int>> running;  // (message, handler)
  struct Calls {
    std::shared_ptr<Engine::Work> work;
    std::shared_ptr<std::vector<Engine::Outcome>> outcomes;
    size_t begun = 0;
    int gates = 0;
    absl::Time since;
  };
  std::vector<std::shared_ptr<Calls>> calls;  // Of its workers.
  std::set<std::pair<int, int>> unsettled;    // Ended here; the broker has not applied the verdict.
};

class World {
 public:
  World(uint64_t seed, bool trace);
  Report Run();

 private:
  int Draw(int below) { return static_cast<int>(random_() % static_cast<uint64_t>(below)); }
  bool Chance(double p) { return (random_() >> 11) * 0x1.0p-53 < p; }
  void At(absl::Duration delay, std::function<void()> event) {
    events_.push({now_ + delay, sequence_++, std::move(event)});
  }
  template <typename... Parts>
  void Trace(const Parts&... parts) {
    if (trace_) absl::StrAppend(&report_.trace, absl::FormatDuration(now_ - start_), " ", parts..., "\n");
  }
  void DrawHandlers();
  void DrawMessages();
  void SendAll();
  void StartMember(Member& member);
  void Crash(Member& member);
  void Stop(Member& member);
  void Gone(Member& member, bool clean);
  void Pump(Member& member);
  void GiveVerdicts(Member& member);
  void Fetch(Member& member);
  void Pause(Member& member, int handler, bool paused);
  void RunWork(Member& member, std::shared_ptr<Member::Calls> calls, size_t next);
  void Unblock(Member& member);
  void BeginTask(Member& member, Engine::Task* task);
  absl::Status EndTask(Member& member, Engine::Task* task, bool* rejected);
  absl::Duration HandlerTime();
  void ScheduleFaults();

  std::mt19937_64 random_;
  const bool trace_;
  Report report_;
  const absl::Time start_ = absl::UnixEpoch();
  absl::Time now_ = start_;
  struct Event {
    absl::Time at;
    int64_t sequence;
    std::function<void()> run;
    bool operator<(const Event& other) const { return std::tie(at, sequence) > std::tie(other.at, other.sequence); }
  };
  int64_t sequence_ = 0;

  std::vector<HandlerPlan> handlers_;
  std::vector<std::vector<Behaviour>> behaviours_;
  std::vector<std::string> keys_;
  std::map<std::pair<int, int>, int> failures_left_;
  absl::Time outage_from_, outage_until_;  // What handlers with a breaker need is away.
  EngineLimits limits_;
  int workers_ = 1;
  std::unique_ptr<Checker> checker_;
  std::unique_ptr<SimBroker> broker_;
  std::vector<std::unique_ptr<Member>> members_;
  int next_incarnation_ = 0;
  std::priority_queue<Event> events_;  // Last: they hold deliveries of the broker.
};

World::World(uint64_t seed, bool trace) : random_(seed), trace_(trace) {
  report_.seed = seed;
  DrawHandlers();
  DrawMessages();
  limits_.max_messages = static_cast<size_t>(1 + Draw(20));
  workers_ = 1 + Draw(4);
  limits_.concurrency = workers_;
  checker_ = std::make_unique<Checker>(handlers_, behaviours_, keys_);
  auto on_ack = [this](const Entry& entry, const std::vector<messaging::Copy>& copies) {
    Trace("acked ", entry.message, " ", entry.handler, " copies ", copies.size());
    for (auto& member : members_) {
      std::erase_if(member->unsettled, [&](const auto& what) {
        return what.first == entry.message && (entry.handler.empty() || entry.handler == handlers_[what.second].name);
      });
    }
    checker_->Acked(entry, copies);
  };
  broker_ = std::make_unique<SimBroker>(on_ack, [this](int message, const std::string& handler, int attempts) {
    checker_->Recorded(message, handler, attempts);
  });
  for (int i = 1 + Draw(3); i > 0; --i) members_.push_back(std::make_unique<Member>());
}

void World::DrawHandlers() {
  for (int i = Chance(0.6) ? 1 : 2 + Draw(2); i > 0; --i) {
    HandlerPlan plan;
    plan.name = absl::StrCat("handler", i);
    plan.options.topics = {"topic"};
    plan.options.max_retries = Draw(4);
    plan.options.retry_delay = absl::Milliseconds(Draw(3) == 0 ? 0 : 50 + Draw(2000));
    plan.options.backoff.factor = Chance(0.3) ? 2.0 : 1.0;
    plan.options.backoff.jitter = Chance(0.3) ? 0.5 : 0.0;
    plan.options.concurrency = Chance(0.5) ? 0 : 1 + Draw(4);
    plan.is_batch = Chance(0.2);
    plan.is_async = !plan.is_batch && Chance(0.3);
    plan.options.batch = {.max = static_cast<size_t>(1 + Draw(6)), .wait = absl::Milliseconds(Draw(100))};
    const int order = Draw(4);
    plan.options.order = order == 0                     ? Order::kNone
                         : order == 1 && !plan.is_batch ? Order::kPerKeyStrict
                                                        : Order::kPerKey;
    if (Chance(0.25)) {
      plan.options.breaker.probe_after = absl::Milliseconds(50 + Draw(1500));
      if (Chance(0.7)) {
        plan.options.breaker.failures = 1 + Draw(plan.options.max_retries + 1);
      } else {
        plan.options.breaker.share = 0.5;
        plan.options.breaker.least = 1 + Draw(5);
      }
    }
    if (Chance(0.2)) {
      plan.options.rate_limit = {.per_second = 5.0 + Draw(100), .burst = 1 + Draw(5)};
    }
    handlers_.push_back(std::move(plan));
  }
  outage_from_ = start_ + absl::Milliseconds(Draw(2000));
  outage_until_ = outage_from_ + absl::Milliseconds(Draw(6000));
}

void World::DrawMessages() {
  const int count = 10 + Draw(60);
  const int keys = 1 + Draw(8);
  const double bad = Draw(3) * 0.15;
  for (int m = 0; m < count; ++m) {
    keys_.push_back(Chance(0.3) ? "-" : absl::StrCat("k", Draw(keys)));
    std::vector<Behaviour> behaviours;
    for (const HandlerPlan& plan : handlers_) {
      const int handler = static_cast<int>(behaviours.size());
      Behaviour behaviour = Behaviour::kOk;
      if (Chance(bad)) behaviour = static_cast<Behaviour>(1 + Draw(5));
      if (behaviour == Behaviour::kKill && Chance(0.7)) behaviour = Behaviour::kOk;
      // Where everything else has ended they would keep the breaker open for good, which is what it is for.
      if (plan.has_breaker() && (behaviour == Behaviour::kFailSome || behaviour == Behaviour::kFailAlways)) {
        behaviour = Behaviour::kOk;
      }
      if (behaviour == Behaviour::kFailSome) {
        if (plan.options.max_retries == 0) behaviour = Behaviour::kOk;
        failures_left_[{m, handler}] = plan.options.max_retries == 0 ? 0 : 1 + Draw(plan.options.max_retries);
      }
      behaviours.push_back(behaviour);
    }
    behaviours_.push_back(std::move(behaviours));
  }
}

void World::SendAll() {
  for (int m = 0; m < static_cast<int>(keys_.size()); ++m) {
    At(absl::Milliseconds(m * 20), [this, m] {
      broker_->Send(m, keys_[m], keys_[m] != "-");
      for (auto& member : members_) Pump(*member);
    });
  }
}

void World::StartMember(Member& member) {
  std::vector<EngineHandler> planned;
  for (const HandlerPlan& plan : handlers_) {
    planned.push_back(
        {.name = plan.name, .options = &plan.options, .is_batch = plan.is_batch, .is_async = plan.is_async});
  }
  member.incarnation = next_incarnation_++;
  member.engine = std::make_unique<Engine>(std::move(planned), 1, limits_, random_(), nullptr);
  member.idle_workers = workers_;
  member.stopping = member.closed = false;
  member.paused.clear();
  member.timer = absl::InfinitePast();
  member.running.clear();
  Trace("start ", member.incarnation);
  Pump(member);
}

void World::Gone(Member& member, bool clean) {
  for (auto& [task, what] : member.running) checker_->Cut(what.first, what.second);
  for (auto& what : member.unsettled) checker_->Repeat(what.first, what.second);
  member.running.clear();
  member.calls.clear();
  member.unsettled.clear();
  const int incarnation = member.incarnation;
  member.incarnation = -1;
  member.engine.reset();
  broker_->Leave(incarnation, clean);
  At(absl::Milliseconds(Draw(500)), [this, &member] { StartMember(member); });
  for (auto& other : members_) At(absl::ZeroDuration(), [this, &other = *other] { Pump(other); });
}

void World::Crash(Member& member) {
  if (member.incarnation < 0) return;
  ++report_.crashes;
  Trace("crash ", member.incarnation);
  Gone(member, /*clean=*/false);
}

void World::Stop(Member& member) {
  if (member.incarnation < 0 || member.stopping) return;
  Trace("stop ", member.incarnation);
  member.stopping = true;
  member.engine->Drain(now_);
  Pump(member);
  At(absl::Milliseconds(Draw(1000)), [this, &member, incarnation = member.incarnation] {
    if (member.incarnation != incarnation) return;
    Trace("drain over ", incarnation, " in hand ", member.engine->in_hand());
    const bool clean = member.engine->in_hand() == 0;
    if (!clean) member.engine->Abandon();
    Gone(member, clean);
  });
}

// Everything that can happen at once in a member: verdicts, fetching, workers taking work.
void World::Pump(Member& member) {
  if (member.incarnation < 0) return;
  Engine& engine = *member.engine;
  GiveVerdicts(member);
  if (!member.stopping) Fetch(member);
  GiveVerdicts(member);
  while (member.idle_workers > 0) {
    std::optional<Engine::Work> work = engine.Take(now_);
    if (!work) break;
    --member.idle_workers;
    auto calls = std::make_shared<Member::Calls>();
    calls->outcomes = std::make_shared<std::vector<Engine::Outcome>>(work->tasks.size());
    calls->work = std::make_shared<Engine::Work>(*std::move(work));
    if (handlers_[calls->work->handler].is_batch) {
      for (Engine::Task* task : calls->work->tasks) BeginTask(member, task);
    } else {
      member.calls.push_back(calls);
    }
    calls->gates = member.gates;
    RunWork(member, calls, 0);
    if (member.incarnation < 0) return;
  }
  GiveVerdicts(member);
  for (const Engine::GateChange& change : engine.TakeGateChanges()) {
    if (change.now == messaging::Gate::kTripped) ++report_.trips;
  }
  if (engine.TakeRoomsChanged()) {
    member.closed = false;
    At(absl::ZeroDuration(), [this, &member, incarnation = member.incarnation] {
      if (member.incarnation == incarnation) Pump(member);
    });
  }
  const absl::Time next = std::min(engine.NextEvent(), broker_->NextDue(now_ + absl::Milliseconds(10)));
  const absl::Time at = std::max(next, now_ + absl::Milliseconds(1));
  if (next == absl::InfiniteFuture() || (member.timer > now_ && member.timer <= at)) return;
  member.timer = at;
  At(at - now_, [this, &member, at, incarnation = member.incarnation] {
    if (member.incarnation == incarnation && member.timer == at) Pump(member);
  });
}

// As a driver that, once told that its topic is closed, looks again only when it is woken.
void World::Fetch(Member& member) {
  Engine& engine = *member.engine;
  if (engine.TakeRoomsChanged()) member.closed = false;
  if (member.closed) return;
  const messaging::Room room = engine.room(0);
  member.closed = !room.Reads("topic");
  if (member.closed || room.messages == 0) return;
  const size_t wanted = 1 + static_cast<size_t>(Draw(static_cast<int>(room.messages)));
  engine.Offer(0, broker_->Fetch(member.incarnation, wanted, now_), now_);
  // What is paused counts for half of it at most.
  if (engine.in_hand() > limits_.max_messages + (limits_.max_messages + 1) / 2) {
    checker_->Fail("more messages in hand than the limit");
  }
}

// A handler; or the topic, -1: all handlers have the same.
void World::Pause(Member& member, int handler, bool paused) {
  if (member.incarnation < 0 || member.stopping) return;
  Trace(paused ? "pause " : "resume ", handler, " at ", member.incarnation);
  if (handler < 0) {
    member.engine->PauseTopic("topic", paused, now_);
  } else {
    member.engine->PauseHandler(handler, paused, now_);
  }
  if (paused) {
    ++report_.pauses;
    member.paused.insert(handler);
  } else {
    member.paused.erase(handler);
  }
  ++member.gates;
  Pump(member);
}

void World::GiveVerdicts(Member& member) {
  for (auto& [subscription, batch] : member.engine->TakeSettlements()) {
    auto shared = std::make_shared<std::vector<Settlement>>(std::move(batch));
    const absl::Duration there = absl::Milliseconds(Draw(5));
    const absl::Duration back = absl::Milliseconds(Draw(5));
    // Lost when the member crashes before it arrives; the answer, when it crashes before that.
    At(there, [this, &member, shared, back, incarnation = member.incarnation] {
      if (member.incarnation != incarnation) return;
      for (Settlement& settlement : *shared) {
        const int64_t message = settlement.delivery.record()->position;
        const int attempts = settlement.copies == nullptr ? -1 : settlement.copies->front().failure.attempts;
        broker_->Settle(incarnation, settlement, now_);
        Trace("settle ", message, " verdict ", static_cast<int>(settlement.verdict), " attempts ", attempts, " ",
              settlement.status.ToString(), " at ", incarnation);
      }
      At(back, [this, &member, shared, incarnation] {
        if (member.incarnation != incarnation) return;
        member.engine->Settled(0, std::move(*shared), now_);
        Pump(member);
      });
    });
  }
}

absl::Duration World::HandlerTime() {
  const int kind = Draw(20);
  if (kind == 0) return absl::Milliseconds(Draw(3000));
  return kind < 10 ? absl::ZeroDuration() : absl::Milliseconds(Draw(30));
}

void World::BeginTask(Member& member, Engine::Task* task) {
  const int message = static_cast<int>(task->record->position);
  if (!member.stopping && (member.paused.contains(task->handler) || member.paused.contains(-1))) {
    checker_->Fail(absl::StrCat("message ", message, " begun while paused"));
  }
  Trace("begin ", message, " ", handlers_[task->handler].name, " attempt ", task->attempt, " at ", member.incarnation,
        task->record->suspect ? " suspect" : "");
  checker_->Begin(message, task->handler, task->attempt, task->record->suspect, static_cast<int>(member.running.size()),
                  now_);
  member.running[task] = {message, task->handler};
}

absl::Status World::EndTask(Member& member, Engine::Task* task, bool* rejected) {
  const auto [message, handler] = member.running[task];
  member.running.erase(task);
  member.unsettled.insert({message, handler});
  absl::Status status;
  switch (behaviours_[message][handler]) {
    case Behaviour::kOk:
      if (handlers_[handler].has_breaker() && now_ >= outage_from_ && now_ < outage_until_) {
        status = absl::UnavailableError("outage");
      }
      break;
    case Behaviour::kKill:
      break;
    case Behaviour::kFailSome:
      if (failures_left_[{message, handler}]-- > 0) status = absl::UnavailableError("not yet");
      break;
    case Behaviour::kFailAlways:
      status = absl::UnavailableError("never");
      break;
    case Behaviour::kPermanent:
      status = absl::InvalidArgumentError("permanent");
      break;
    case Behaviour::kReject:
      status = absl::InvalidArgumentError("undecodable");
      *rejected = true;
      break;
  }
  if (status.ok() && member.stopping && !handlers_[handler].is_batch && Chance(0.1))
    status = absl::CancelledError("stopping");
  Trace("end ", message, " ", handlers_[handler].name, " ", status.ToString());
  checker_->End(message, handler, status, now_);
  return status;
}

// What an idle worker does while calls take long.
void World::Unblock(Member& member) {
  if (member.incarnation < 0 || !member.engine->MayBlock()) return;
  for (auto& calls : member.calls) {
    if (calls->gates != member.gates || now_ - calls->since < kLongCall || calls->begun == 0 ||
        calls->begun > calls->work->tasks.size())
      continue;
    const size_t begun = std::exchange(calls->begun, calls->work->tasks.size() + 1);
    member.engine->Unblock(*calls->work, *calls->outcomes, begun, now_);
  }
  member.engine->UnblockDeferred(now_ - kLongCall, now_);
  Pump(member);
}

// Runs the work's tasks from `next` on, each in its time.
void World::RunWork(Member& member, std::shared_ptr<Member::Calls> calls, size_t next) {
  const int incarnation = member.incarnation;
  const std::shared_ptr<Engine::Work>& work = calls->work;
  const std::shared_ptr<std::vector<Engine::Outcome>>& outcomes = calls->outcomes;
  const HandlerPlan& plan = handlers_[work->handler];
  if (!plan.is_batch) next = calls->begun++;  // As a worker: others may have taken what it has not begun.
  calls->since = now_;
  if (next >= work->tasks.size()) {
    std::erase(member.calls, calls);
    ++member.idle_workers;
    member.engine->Finish(*work, *outcomes, absl::Microseconds(Draw(100)), now_);
    At(absl::ZeroDuration(), [this, &member, incarnation] {
      if (member.incarnation == incarnation) Pump(member);
    });
    return;
  }
  const size_t last = plan.is_batch ? work->tasks.size() : next + 1;
  if (member.stopping && !plan.is_batch) {  // As the dispatcher does: what has not begun goes back.
    (*outcomes)[next].status = absl::CancelledError("draining");
    return RunWork(member, calls, last);
  }
  if (member.gates != calls->gates && !plan.is_batch) {
    (*outcomes)[next].not_begun = true;
    return RunWork(member, calls, last);
  }
  if (!plan.is_batch) BeginTask(member, work->tasks[next]);
  bool kills = false;
  for (size_t i = next; i < last; ++i) {
    kills =
        kills || behaviours_[static_cast<size_t>(work->tasks[i]->record->position)][work->handler] == Behaviour::kKill;
  }
  const absl::Duration time = HandlerTime();
  if (plan.is_async && !kills && Chance(0.7)) {
    (*outcomes)[next] = {.deferred = true, .keeps_lane = true};
    At(time, [this, &member, incarnation, task = work->tasks[next]] {
      if (member.incarnation != incarnation) return;
      Engine::Outcome outcome;
      outcome.status = EndTask(member, task, &outcome.rejected);
      member.engine->Complete(task, std::move(outcome), now_);
      Pump(member);
    });
    return RunWork(member, calls, last);
  }
  At(time, [this, &member, incarnation, calls, next, last, kills] {
    if (member.incarnation != incarnation) return;
    if (kills) return Crash(member);
    for (size_t i = next; i < last; ++i) {
      Engine::Outcome& outcome = (*calls->outcomes)[i];
      outcome.status = EndTask(member, calls->work->tasks[i], &outcome.rejected);
    }
    RunWork(member, calls, last);
  });
  if (time >= kLongCall && Chance(0.5)) {
    At(absl::Milliseconds(20 + Draw(200)), [this, &member, incarnation] {
      if (member.incarnation == incarnation) Unblock(member);
    });
  }
}

void World::ScheduleFaults() {
  const int crashes = Draw(4);
  for (int i = 0; i < crashes; ++i) {
    At(absl::Milliseconds(Draw(5000)), [this, m = Draw(static_cast<int>(members_.size()))] { Crash(*members_[m]); });
  }
  const int stops = Draw(4);
  for (int i = 0; i < stops; ++i) {
    At(absl::Milliseconds(Draw(5000)), [this, m = Draw(static_cast<int>(members_.size()))] { Stop(*members_[m]); });
  }
  for (int i = Chance(0.5) ? 0 : 1 + Draw(6); i > 0; --i) {
    const absl::Duration from = absl::Milliseconds(Draw(6000));
    const int m = Draw(static_cast<int>(members_.size()));
    const int handler = Draw(static_cast<int>(handlers_.size()) + 1) - 1;
    At(from, [this, m, handler] { Pause(*members_[m], handler, true); });
    At(from + absl::Milliseconds(Draw(4000)), [this, m, handler] { Pause(*members_[m], handler, false); });
  }
  if (Chance(0.3)) {
    const absl::Duration from = absl::Milliseconds(Draw(3000));
    At(from, [this] { broker_->set_refusing(true); });
    At(from + absl::Milliseconds(Draw(5000)), [this] { broker_->set_refusing(false); });
  }
}

Report World::Run() {
  SendAll();
  ScheduleFaults();
  for (auto& member : members_) StartMember(*member);
  const absl::Duration all_sent = absl::Milliseconds(20) * static_cast<int64_t>(keys_.size());
  while (!events_.empty() && checker_->violation().empty()) {
    Event event = events_.top();
    events_.pop();
    now_ = std::max(now_, event.at);
    if (now_ - start_ > kLimit) {
      checker_->Fail(absl::StrCat("it does not end:\n", broker_->Describe()));
      break;
    }
    event.run();
    bool busy = false;
    for (auto& member : members_) busy = busy || (member->engine != nullptr && member->engine->in_hand() > 0);
    if (broker_->empty() && !busy && now_ - start_ > all_sent + kFaults) break;
  }
  if (checker_->violation().empty() && !broker_->empty()) {
    checker_->Fail(absl::StrCat("it stands still with messages left:\n", broker_->Describe()));
  }
  if (checker_->violation().empty()) checker_->AtEnd(broker_->dead());
  report_.violation = checker_->violation();
  report_.calls = checker_->calls();
  report_.dead = static_cast<int64_t>(broker_->dead().size());
  report_.simulated_seconds = absl::ToDoubleSeconds(now_ - start_);
  return std::move(report_);
}

}  // namespace

Report Simulate(uint64_t seed, bool trace) { return World(seed, trace).Run(); }

}  // namespace simulation
