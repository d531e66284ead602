#include "tests/simulation/world.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <set>
#include <tuple>
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
using messaging::Settlement;

constexpr absl::Duration kFaults = absl::Seconds(12);  // Every fault is over by then.
constexpr absl::Duration kLimit = absl::Minutes(10);
constexpr absl::Duration kLongCall = absl::Milliseconds(20);
constexpr absl::Duration kSessionTimeout = absl::Seconds(1);

// A message in a handler's hands, or just out of them.
struct InHand {
  int message = 0;
  int handler = 0;
  int64_t entry = 0;
  int64_t partition = 0;
  bool late = false;  // It is no longer its member's own.
  auto key() const { return std::tie(entry, partition, handler); }
  bool operator<(const InHand& other) const { return key() < other.key(); }
  bool IsOf(const Entry& what) const { return entry == what.id && partition == what.partition; }
};

// What one worker has taken.
struct Calls {
  std::shared_ptr<Engine::Work> work;
  std::shared_ptr<std::vector<Engine::Outcome>> outcomes;
  size_t begun = 0;
  int gates = 0;
  absl::Time since;
};

// One process: an engine and its workers.
struct Member {
  int incarnation = -1;
  std::unique_ptr<Engine> engine;
  int idle_workers = 0;
  bool stopping = false;
  bool closed = false;                                // It was told not to read, and waits to be told otherwise.
  std::set<int> paused;                               // Handlers; -1 is the topic.
  int gates = 0;                                      // Counts pauses.
  std::shared_ptr<std::vector<Delivery>> on_its_way;  // A batch from the server.
  int connection = 0;                                 // Which one it is on, by number.
  absl::Time troubled = absl::InfinitePast();         // Until then it could not do all that it has to.
  absl::Time stalled = absl::InfinitePast();          // Until then.
  absl::Duration clock = absl::ZeroDuration();        // How far its clock is ahead.
  absl::Time timer = absl::InfinitePast();            // When it will be pumped by itself.
  std::map<Engine::Task*, InHand> running;
  std::vector<std::shared_ptr<Calls>> calls;  // Of its workers, but for batches.
  std::set<InHand> unsettled;                 // Ended here; the broker has not applied the verdict.
};

class World : public Events {
 public:
  World(const Plan& plan, bool trace);
  Report Run();

  // Events.
  void Done(const Entry& entry, const std::vector<messaging::Copy>& copies) override;
  void Recorded(int message, const std::string& handler, int attempts) override {
    Trace("recorded ", message, " ", handler, " attempts ", attempts);
    checker_->Recorded(message, handler, attempts);
  }
  void Forked(int message, const std::string& handler) override;
  void TakenOver(int member, const Entry& entry) override;
  void Revoke(int member, const std::function<bool(const SimRecord&)>& which) override;
  void Wake() override {
    At(absl::ZeroDuration(), [this] { PumpAll(); });
  }
  int Draw(int below) override { return static_cast<int>(random_() % static_cast<uint64_t>(below)); }

 private:
  struct Event {
    absl::Time at;
    int64_t sequence;
    std::function<void()> run;
    bool operator<(const Event& other) const { return std::tie(at, sequence) > std::tie(other.at, other.sequence); }
  };
  bool Chance(double p) { return (random_() >> 11) * 0x1.0p-53 < p; }
  void At(absl::Duration delay, std::function<void()> event) {
    events_.push({now_ + delay, sequence_++, std::move(event)});
  }
  // In the member's own process: not after its end, nor while it is stalled.
  void In(Member& member, absl::Duration delay, std::function<void()> event);
  absl::Time ClockOf(const Member& member) const { return now_ + member.clock; }
  template <typename... Parts>
  void Trace(const Parts&... parts) {
    ++report_.steps;
    if (trace_) absl::StrAppend(&report_.trace, absl::FormatDuration(now_ - start_), " ", parts..., "\n");
  }
  Member* Find(int incarnation);
  InHand About(const Engine::Task& task) const;

  void SendAll();
  void ScheduleFaults();
  void Strike(const Fault& fault);
  void StartMember(Member& member);
  void Crash(Member& member);
  void Stop(Member& member);
  void Disconnect(Member& member);
  void Stall(Member& member, absl::Duration lasts);
  void Gone(Member& member, bool clean);
  void Pump(Member& member);
  void PumpAll();
  void Pause(Member& member, int handler, bool paused);
  size_t MostInHand(const Member& member) const;
  bool MayFetch(Member& member);
  void NoteGates(Member& member);
  void FetchFor(Member& member);
  void TakeWork(Member& member);
  void SetTimer(Member& member);
  void GiveVerdicts(Member& member);
  void Settle(Member& member, int connection, std::vector<Settlement>& batch);
  void RunWork(Member& member, std::shared_ptr<Calls> calls, size_t next);
  void Unblock(Member& member);
  void BeginTask(Member& member, Engine::Task* task);
  absl::Status EndTask(Member& member, Engine::Task* task, bool* rejected);
  absl::Status OutcomeOf(const InHand& call, bool* rejected);
  absl::Duration HandlerTime();
  Behaviour BehaviourOf(const InHand& call) const {
    return plan_.messages[static_cast<size_t>(call.message)].behaviours[static_cast<size_t>(call.handler)];
  }

  const Plan& plan_;
  std::mt19937_64 random_;
  const bool trace_;
  Report report_;
  const absl::Time start_ = absl::UnixEpoch();
  absl::Time now_ = start_;
  int64_t sequence_ = 0;
  bool server_up_ = true;
  std::map<std::pair<int, int>, int> failures_left_;
  std::unique_ptr<SimBroker> broker_;
  std::unique_ptr<Checker> checker_;
  std::vector<std::unique_ptr<Member>> members_;
  int next_incarnation_ = 0;
  std::priority_queue<Event> events_;  // Last: they hold deliveries of the broker.
};

World::World(const Plan& plan, bool trace) : plan_(plan), random_(~plan.seed), trace_(trace) {
  broker_ = SimBroker::Make(plan, this);
  checker_ = std::make_unique<Checker>(plan, broker_->orders_group());
  for (size_t m = 0; m < plan.messages.size(); ++m) {
    for (size_t h = 0; h < plan.handlers.size(); ++h) {
      failures_left_[{static_cast<int>(m), static_cast<int>(h)}] = plan.messages[m].failures[h];
    }
  }
  for (int i = 0; i < plan.members; ++i) members_.push_back(std::make_unique<Member>());
}

void World::In(Member& member, absl::Duration delay, std::function<void()> event) {
  At(delay, [this, &member, incarnation = member.incarnation, event = std::move(event)] {
    if (member.incarnation != incarnation) return;
    if (member.stalled > now_) return In(member, member.stalled - now_, event);
    event();
  });
}

Member* World::Find(int incarnation) {
  for (auto& member : members_) {
    if (member->incarnation == incarnation) return member.get();
  }
  return nullptr;
}

InHand World::About(const Engine::Task& task) const {
  const auto& record = *static_cast<const SimRecord*>(task.record);
  return {.message = record.entry.message,
          .handler = task.handler,
          .entry = record.entry.id,
          .partition = record.entry.partition,
          .late = !broker_->Owns(record)};
}

void World::Done(const Entry& entry, const std::vector<messaging::Copy>& copies) {
  Trace("done ", entry.message, " ", entry.handler, " copies ", copies.size());
  for (auto& member : members_) {
    std::erase_if(member->unsettled, [&](const InHand& ended) { return ended.IsOf(entry); });
  }
  checker_->Acked(entry, copies);
}

void World::Forked(int message, const std::string& handler) {
  Trace("doubled ", message, " ", handler);
  for (size_t h = 0; h < plan_.handlers.size(); ++h) {
    if (plan_.handlers[h].name == handler) checker_->Forked(message, static_cast<int>(h));
  }
}

void World::TakenOver(int incarnation, const Entry& entry) {
  Member* member = Find(incarnation);
  if (member == nullptr) return;
  Trace("taken over ", entry.message, " ", entry.handler, " from ", incarnation);
  if (plan_.model == Model::kClaims && now_ > member->troubled + kSessionTimeout) {
    checker_->Fail(absl::StrCat("message ", entry.message, ": claimed from a member that is well"));
  }
  for (auto& [task, call] : member->running) {
    if (call.late || !call.IsOf(entry)) continue;
    checker_->Cut(call.message, call.handler, incarnation);
    call.late = true;
  }
  std::erase_if(member->unsettled, [&](const InHand& ended) {
    if (!ended.IsOf(entry)) return false;
    checker_->Repeat(ended.message, ended.handler);
    return true;
  });
}

void World::Revoke(int incarnation, const std::function<bool(const SimRecord&)>& which) {
  Member* member = Find(incarnation);
  if (member == nullptr) return;
  member->engine->Revoke(
      0, [&](const messaging::Record& record) { return which(*static_cast<const SimRecord*>(&record)); });
}

void World::SendAll() {
  for (size_t m = 0; m < plan_.messages.size(); ++m) {
    const MessagePlan& message = plan_.messages[m];
    At(message.sent_at, [this, m, &message] {
      broker_->Send(static_cast<int>(m), message.key, message.key != "-");
      PumpAll();
    });
  }
}

void World::StartMember(Member& member) {
  std::vector<EngineHandler> planned;
  for (const HandlerPlan& plan : plan_.handlers) {
    planned.push_back(
        {.name = plan.name, .options = &plan.options, .is_batch = plan.is_batch, .is_async = plan.is_async});
  }
  member.incarnation = next_incarnation_++;
  member.engine = std::make_unique<Engine>(
      std::move(planned), 1, messaging::EngineLimits{.max_messages = plan_.max_messages, .concurrency = plan_.workers},
      random_(), nullptr);
  member.idle_workers = plan_.workers;
  member.stopping = member.closed = false;
  member.paused.clear();
  member.gates = 0;
  member.on_its_way = nullptr;
  member.stalled = absl::InfinitePast();
  member.timer = absl::InfinitePast();
  Trace("start ", member.incarnation);
  broker_->Join(member.incarnation, now_);
  Pump(member);
}

void World::Gone(Member& member, bool clean) {
  for (auto& [task, call] : member.running) {
    if (!call.late) checker_->Cut(call.message, call.handler, member.incarnation);
  }
  member.running.clear();
  member.calls.clear();
  const int incarnation = std::exchange(member.incarnation, -1);
  broker_->Leave(incarnation, clean, now_);
  for (const InHand& ended : member.unsettled) checker_->Repeat(ended.message, ended.handler);
  member.unsettled.clear();
  member.engine.reset();
  At(absl::Milliseconds(Draw(500)), [this, &member] { StartMember(member); });
  At(absl::ZeroDuration(), [this] { PumpAll(); });
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
  member.engine->Drain(ClockOf(member));
  Pump(member);
  In(member, absl::Milliseconds(Draw(1000)), [this, &member] {
    Trace("drain over ", member.incarnation, " in hand ", member.engine->in_hand());
    const bool clean = member.engine->in_hand() == 0;
    if (!clean) member.engine->Abandon();
    Gone(member, clean);
  });
}

void World::Disconnect(Member& member) {
  if (member.incarnation < 0) return;
  Trace("connection lost ", member.incarnation);
  member.troubled = std::max(member.troubled, now_);
  ++member.connection;
  if (auto lost = std::exchange(member.on_its_way, nullptr)) {
    for (Delivery& delivery : *lost) broker_->Vanish(std::move(delivery));
    lost->clear();
  }
  broker_->Disconnect(member.incarnation, now_);
}

void World::Stall(Member& member, absl::Duration lasts) {
  if (member.incarnation < 0) return;
  Trace("stall ", member.incarnation, " for ", absl::FormatDuration(lasts));
  member.stalled = member.troubled = now_ + lasts;
  In(member, lasts, [this, &member] { Pump(member); });
  if (lasts < kSessionTimeout) return;
  At(kSessionTimeout, [this, &member, incarnation = member.incarnation] {
    if (member.incarnation != incarnation) return;
    Trace("taken for dead ", incarnation);
    broker_->TimeOut(incarnation, now_);
    PumpAll();
  });
}

void World::Strike(const Fault& fault) {
  Member& member = *members_[static_cast<size_t>(fault.member)];
  switch (fault.kind) {
    case Fault::Kind::kCrash:
      return Crash(member);
    case Fault::Kind::kStop:
      if (member.stalled <= now_) Stop(member);
      return;
    case Fault::Kind::kRefuse:
      broker_->set_refusing(true);
      return At(fault.lasts, [this] { broker_->set_refusing(false); });
    case Fault::Kind::kDisconnect:
      Disconnect(member);
      return PumpAll();
    case Fault::Kind::kServerDown:
      Trace("server down");
      server_up_ = false;
      for (auto& other : members_) Disconnect(*other);
      return At(fault.lasts, [this] {
        Trace("server up");
        server_up_ = true;
        for (auto& other : members_) other->troubled = std::max(other->troubled, now_);
        PumpAll();
      });
    case Fault::Kind::kStall:
      return Stall(member, fault.lasts);
    case Fault::Kind::kClock:
      Trace("clock of ", member.incarnation, " jumps ", absl::FormatDuration(fault.lasts));
      member.clock += fault.lasts;
      return Pump(member);
    case Fault::Kind::kPause:
      if (member.incarnation < 0 || member.stopping || member.stalled > now_) return;
      Pause(member, fault.handler, true);
      return In(member, fault.lasts, [this, &member, handler = fault.handler] { Pause(member, handler, false); });
  }
}

void World::Pause(Member& member, int handler, bool paused) {
  Trace(paused ? "pause " : "resume ", handler, " at ", member.incarnation);
  if (handler < 0) {
    member.engine->PauseTopic("topic", paused, ClockOf(member));
  } else {
    member.engine->PauseHandler(handler, paused, ClockOf(member));
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

void World::ScheduleFaults() {
  for (const Fault& fault : plan_.faults) At(fault.at, [this, &fault] { Strike(fault); });
}

void World::PumpAll() {
  for (auto& member : members_) Pump(*member);
}

// Everything that can happen at once in a member: verdicts, fetching, workers taking work.
void World::Pump(Member& member) {
  if (member.incarnation < 0 || member.stalled > now_) return;
  GiveVerdicts(member);
  if (server_up_) broker_->Tick(member.incarnation, now_);
  if (!member.stopping && server_up_) FetchFor(member);
  GiveVerdicts(member);
  TakeWork(member);
  if (member.incarnation < 0) return;
  GiveVerdicts(member);
  NoteGates(member);
  SetTimer(member);
}

void World::NoteGates(Member& member) {
  for (const Engine::GateChange& change : member.engine->TakeGateChanges()) {
    if (change.now == messaging::Gate::kTripped) ++report_.trips;
  }
  if (!member.engine->TakeRoomsChanged()) return;
  member.closed = false;
  In(member, absl::ZeroDuration(), [this, &member] { Pump(member); });
}

// What is paused, or waits for a breaker, counts for half of it at most.
size_t World::MostInHand(const Member& member) const {
  const bool gated = member.gates > 0 || std::any_of(plan_.handlers.begin(), plan_.handlers.end(),
                                                     [](const HandlerPlan& plan) { return plan.has_breaker(); });
  return gated ? plan_.max_messages + (plan_.max_messages + 1) / 2 : plan_.max_messages;
}

// As a driver that, once told that its topic is closed, looks again only when it is woken.
bool World::MayFetch(Member& member) {
  if (member.on_its_way != nullptr) return false;
  if (member.engine->TakeRoomsChanged()) member.closed = false;
  if (!member.closed) member.closed = !member.engine->room(0).Reads("topic");
  return !member.closed;
}

void World::FetchFor(Member& member) {
  if (!MayFetch(member)) return;
  const size_t room = member.engine->room(0).messages;
  const size_t wanted = room == 0 ? 0 : 1 + static_cast<size_t>(Draw(static_cast<int>(room)));
  std::vector<Delivery> batch = broker_->Fetch(member.incarnation, wanted, now_);
  // What a server sends may be lost on its way; what is read from a file, or from what a driver has read before, not.
  const bool travels = plan_.model == Model::kClaims || plan_.model == Model::kQueue;
  if (batch.empty() || !travels || Chance(0.5)) {
    member.engine->Offer(0, std::move(batch), ClockOf(member));
    if (!travels && member.engine->in_hand() > MostInHand(member)) {
      checker_->Fail("more messages in hand than the limit");
    }
    return;
  }
  // One batch is on its way at a time, so that what was asked for is counted.
  auto shared = std::make_shared<std::vector<Delivery>>(std::move(batch));
  member.on_its_way = shared;
  const absl::Duration way = absl::Milliseconds(Draw(20) == 0 ? Draw(500) : Draw(3));
  In(member, way, [this, &member, shared, connection = member.connection] {
    if (member.connection != connection) return;
    member.on_its_way = nullptr;
    if (member.stopping) return shared->clear();  // Given back.
    member.engine->Offer(0, std::move(*shared), ClockOf(member));
    Pump(member);
  });
}

void World::TakeWork(Member& member) {
  while (member.idle_workers > 0) {
    std::optional<Engine::Work> work = member.engine->Take(ClockOf(member));
    if (!work) return;
    --member.idle_workers;
    auto calls = std::make_shared<Calls>();
    calls->outcomes = std::make_shared<std::vector<Engine::Outcome>>(work->tasks.size());
    calls->work = std::make_shared<Engine::Work>(*std::move(work));
    calls->gates = member.gates;
    if (plan_.handlers[static_cast<size_t>(calls->work->handler)].is_batch) {
      for (Engine::Task* task : calls->work->tasks) BeginTask(member, task);
    } else {
      member.calls.push_back(calls);
    }
    RunWork(member, calls, 0);
    if (member.incarnation < 0) return;
  }
}

void World::SetTimer(Member& member) {
  absl::Time next = member.engine->NextEvent();
  if (next != absl::InfiniteFuture()) next -= member.clock;
  next = std::min(next, broker_->NextTick(member.incarnation, now_));
  if (next == absl::InfiniteFuture()) return;
  const absl::Time at = std::max(next, now_ + absl::Milliseconds(1));
  if (member.timer > now_ && member.timer <= at) return;
  member.timer = at;
  In(member, at - now_, [this, &member, at] {
    if (member.timer != at) return;
    member.timer = absl::InfinitePast();
    Pump(member);
  });
}

void World::GiveVerdicts(Member& member) {
  for (auto& [subscription, batch] : member.engine->TakeSettlements()) {
    auto shared = std::make_shared<std::vector<Settlement>>(std::move(batch));
    const absl::Duration back = absl::Milliseconds(Draw(5));
    // Lost when the member crashes, or its connection is lost, before it arrives; the answer, when that is before it.
    At(absl::Milliseconds(Draw(5)),
       [this, &member, shared, back, incarnation = member.incarnation, connection = member.connection] {
         if (member.incarnation != incarnation) return;
         Settle(member, connection, *shared);
         In(member, back, [this, &member, shared, connection] {
           for (Settlement& settlement : *shared) {
             if (member.connection != connection) broker_->AnswerLost(settlement, /*applied=*/true);
             SimBroker::Finish(settlement);
           }
           member.engine->Settled(0, std::move(*shared), ClockOf(member));
           Pump(member);
         });
       });
  }
}

void World::Settle(Member& member, int connection, std::vector<Settlement>& batch) {
  for (Settlement& settlement : batch) {
    const auto& record = *static_cast<SimRecord*>(settlement.delivery.record());
    if (!server_up_ || member.connection != connection) {
      broker_->AnswerLost(settlement, /*applied=*/false);
    } else {
      broker_->Settle(member.incarnation, settlement, now_);
    }
    Trace("settle ", record.entry.message, " verdict ", static_cast<int>(settlement.verdict), " copies ",
          settlement.copies == nullptr ? 0 : settlement.copies->size(), " ", settlement.status.ToString(), " at ",
          member.incarnation);
  }
}

absl::Duration World::HandlerTime() {
  const int kind = Draw(20);
  if (kind == 0) return absl::Milliseconds(Draw(3000));
  if (kind == 1 && Draw(10) == 0 && now_ - start_ < kFaults) return absl::Milliseconds(Draw(20'000));  // It hangs.
  return kind < 10 ? absl::ZeroDuration() : absl::Milliseconds(Draw(30));
}

void World::BeginTask(Member& member, Engine::Task* task) {
  const InHand call = About(*task);
  const auto& record = *static_cast<const SimRecord*>(task->record);
  Trace("begin ", call.message, " ", plan_.handlers[static_cast<size_t>(task->handler)].name, " attempt ",
        task->attempt, " at ", member.incarnation, record.suspect ? " suspect" : "", call.late ? " late" : "");
  if (!member.stopping && (member.paused.contains(task->handler) || member.paused.contains(-1))) {
    checker_->Fail(absl::StrCat("message ", call.message, " begun while paused"));
  }
  const int running = static_cast<int>(member.running.size());
  member.running[task] = call;
  if (call.late) {
    ++report_.late_calls;
    return;
  }
  checker_->Begin({.message = call.message,
                   .handler = call.handler,
                   .attempt = task->attempt,
                   .member = member.incarnation,
                   .suspect = record.suspect,
                   .redelivered = record.redelivered,
                   .running_in_process = running},
                  now_);
}

absl::Status World::OutcomeOf(const InHand& call, bool* rejected) {
  const bool away = now_ - start_ >= plan_.outage_from && now_ - start_ < plan_.outage_until;
  switch (BehaviourOf(call)) {
    case Behaviour::kOk:
      if (away && plan_.handlers[static_cast<size_t>(call.handler)].has_breaker()) {
        return absl::UnavailableError("outage");
      }
      break;
    case Behaviour::kKill:
      break;
    case Behaviour::kFailSome:
      if (failures_left_[{call.message, call.handler}]-- > 0) return absl::UnavailableError("not yet");
      break;
    case Behaviour::kFailAlways:
      return absl::UnavailableError("never");
    case Behaviour::kPermanent:
      return absl::InvalidArgumentError("permanent");
    case Behaviour::kReject:
      *rejected = true;
      return absl::InvalidArgumentError("undecodable");
  }
  return absl::OkStatus();
}

absl::Status World::EndTask(Member& member, Engine::Task* task, bool* rejected) {
  const InHand call = member.running[task];
  member.running.erase(task);
  const HandlerPlan& plan = plan_.handlers[static_cast<size_t>(call.handler)];
  absl::Status status = OutcomeOf(call, rejected);
  if (status.ok() && member.stopping && !plan.is_batch && Chance(0.1)) status = absl::CancelledError("stopping");
  Trace("end ", call.message, " ", plan.name, " ", status.ToString(), call.late ? " late" : "");
  if (call.late) {
    if (status.ok()) checker_->LateOk(call.message, call.handler);
    return status;
  }
  member.unsettled.insert(call);
  checker_->End(call.message, call.handler, member.incarnation, status, now_);
  return status;
}

// What an idle worker does while calls take long.
void World::Unblock(Member& member) {
  if (!member.engine->MayBlock()) return;
  for (auto& calls : member.calls) {
    if (calls->gates != member.gates) continue;
    if (now_ - calls->since < kLongCall || calls->begun == 0 || calls->begun > calls->work->tasks.size()) continue;
    const size_t begun = std::exchange(calls->begun, calls->work->tasks.size() + 1);
    member.engine->Unblock(*calls->work, *calls->outcomes, begun, ClockOf(member));
  }
  member.engine->UnblockDeferred(ClockOf(member) - kLongCall, ClockOf(member));
  Pump(member);
}

// Runs the work's tasks from `next` on, each in its time.
void World::RunWork(Member& member, std::shared_ptr<Calls> calls, size_t next) {
  Engine::Work& work = *calls->work;
  std::vector<Engine::Outcome>& outcomes = *calls->outcomes;
  const HandlerPlan& plan = plan_.handlers[static_cast<size_t>(work.handler)];
  if (!plan.is_batch) next = calls->begun++;  // As a worker: others may have taken what it has not begun.
  calls->since = now_;
  if (next >= work.tasks.size()) {
    std::erase(member.calls, calls);
    ++member.idle_workers;
    member.engine->Finish(work, outcomes, absl::Microseconds(Draw(100)), ClockOf(member));
    return In(member, absl::ZeroDuration(), [this, &member] { Pump(member); });
  }
  const size_t last = plan.is_batch ? work.tasks.size() : next + 1;
  if (member.stopping && !plan.is_batch) {  // As the dispatcher does: what has not begun goes back.
    outcomes[next].status = absl::CancelledError("draining");
    return RunWork(member, calls, last);
  }
  if (member.gates != calls->gates && !plan.is_batch) {
    outcomes[next].not_begun = true;
    return RunWork(member, calls, last);
  }
  if (!plan.is_batch) BeginTask(member, work.tasks[next]);
  bool kills = false;
  for (size_t i = next; i < last; ++i) {
    kills = kills || BehaviourOf(member.running[work.tasks[i]]) == Behaviour::kKill;
  }
  const absl::Duration time = HandlerTime();
  if (plan.is_async && !kills && Chance(0.7)) {
    outcomes[next] = {.deferred = true, .keeps_lane = true};
    In(member, time, [this, &member, task = work.tasks[next]] {
      Engine::Outcome outcome;
      outcome.status = EndTask(member, task, &outcome.rejected);
      member.engine->Complete(task, std::move(outcome), ClockOf(member));
      Pump(member);
    });
    return RunWork(member, calls, last);
  }
  In(member, time, [this, &member, calls, next, last, kills] {
    if (kills) return Crash(member);
    for (size_t i = next; i < last; ++i) {
      Engine::Outcome& outcome = (*calls->outcomes)[i];
      outcome.status = EndTask(member, calls->work->tasks[i], &outcome.rejected);
    }
    RunWork(member, calls, last);
  });
  if (time >= kLongCall && Chance(0.5))
    In(member, absl::Milliseconds(20 + Draw(200)), [this, &member] { Unblock(member); });
}

Report World::Run() {
  SendAll();
  ScheduleFaults();
  for (auto& member : members_) StartMember(*member);
  const absl::Duration all_sent = plan_.messages.empty() ? absl::ZeroDuration() : plan_.messages.back().sent_at;
  const absl::Duration all_over = plan_.faults.empty() ? all_sent : all_sent + kFaults;
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
    if (broker_->empty() && !busy && now_ - start_ > all_over) break;
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

Report Simulate(const Plan& plan, bool trace) { return World(plan, trace).Run(); }

}  // namespace simulation
