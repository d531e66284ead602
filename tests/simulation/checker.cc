#include "tests/simulation/checker.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace simulation {

using messaging::Copy;
using messaging::Order;

std::string Checker::Name(int message, int handler) const {
  return absl::StrCat("message ", message, " (key ", KeyText(message), ") at ",
                      plan_.handlers[static_cast<size_t>(handler)].name);
}

bool Checker::clocks_jump() const {
  return std::any_of(plan_.faults.begin(), plan_.faults.end(),
                     [](const Fault& fault) { return fault.kind == Fault::Kind::kClock; });
}

void Checker::Begin(const Call& call, absl::Time now) {
  ++calls_;
  State& s = state(call.message, call.handler);
  Uncount(call, s);
  ++s.started;
  s.attempt = call.attempt;
  s.failed = false;
  s.member = call.member;
  CheckStart(call, s, now);
  s.running = true;
  CheckOrder(call);
}

// Whether its last call failed while the breaker was not closed.
void Checker::Uncount(const Call& call, State& s) {
  if (!plan_.handlers[static_cast<size_t>(call.handler)].has_breaker()) return;
  if (!s.failed || call.attempt != s.attempt) return;
  --s.started;
  --s.failures;
  s.given_up = false;
  s.uncounted = true;
  s.not_before = absl::InfinitePast();
}

void Checker::CheckStart(const Call& call, const State& s, absl::Time now) {
  const HandlerPlan& plan = plan_.handlers[static_cast<size_t>(call.handler)];
  const std::string name = Name(call.message, call.handler);
  const bool strict = plan.options.order == Order::kPerKeyStrict;
  if (s.running && s.forks == 0) Fail(absl::StrCat(name, ": two calls at once"));
  if (s.ok && !s.may_again && s.forks == 0) {
    Fail(absl::StrCat(name, ": called again, though it was handled and nothing was lost"));
  }
  // A retry in place waits by its member's own clock.
  if (now < s.not_before && s.forks == 0 && !(strict && clocks_jump())) {
    Fail(absl::StrCat(name, ": retried ", absl::FormatDuration(s.not_before - now), " too early"));
  }
  // A call that its process's end cut off, before its record, may be repeated once. Where several handlers retry one
  // message in place, the broker keeps the attempts of the last one only. Two of a message have their attempts each.
  const int most = plan.options.max_retries + 1;
  const int may = plan_.handlers.size() > 1 && strict ? most * (1 + s.cut + s.forks) : most * (1 + s.forks) + s.cut;
  const bool unknown = s.forks > 0 && plan.has_breaker();  // Whose attempt did not count?
  if (s.started > may && !unknown) {
    Fail(absl::StrCat(name, ": started ", s.started, " times (", s.cut, " cut off, ", s.forks,
                      " times doubled), max_retries ", plan.options.max_retries));
  }
  if (call.attempt > most) Fail(absl::StrCat(name, ": attempt ", call.attempt));
  // A suspect's attempt is counted before it begins, and may be cut off in between.
  const bool recorded = recorded_.contains({call.message, plan.name});
  if (s.cut == 0 && s.forks == 0 && call.attempt != s.started && !(recorded && call.attempt > s.started)) {
    Fail(absl::StrCat(name, ": attempt ", call.attempt, " is start number ", s.started));
  }
  if (call.suspect && call.running_in_process > 0) {
    Fail(absl::StrCat(name, ": a suspect, with ", call.running_in_process, " other calls running"));
  }
}

void Checker::CheckOrder(const Call& call) {
  const HandlerPlan& plan = plan_.handlers[static_cast<size_t>(call.handler)];
  const State& s = state(call.message, call.handler);
  if (KeyText(call.message) == "-" || plan.options.order == Order::kNone) return;
  const KeyOf key = Key(call.message, call.handler, call.member);
  const std::string name = Name(call.message, call.handler);
  if (++running_key_[key] > 1 && !plan.is_batch && s.forks == 0) {
    Fail(absl::StrCat(name, ": two messages of one key at once"));
  }
  // First calls come in the order of sending; a copy for one of several handlers (after a crash) may come late, and
  // where members share a key, what another had before.
  const bool first = s.started == 1 && call.attempt == 1 && !s.uncounted && (orders_group_ || !call.redelivered);
  int& newest = newest_.try_emplace(key, -1).first->second;
  if (first && call.message < newest && plan_.handlers.size() == 1) {
    Fail(absl::StrCat(name, ": begun after message ", newest, " of the same key"));
  }
  if (first) newest = std::max(newest, call.message);
  CheckStrict(call);
}

void Checker::CheckStrict(const Call& call) {
  const HandlerPlan& plan = plan_.handlers[static_cast<size_t>(call.handler)];
  if (plan.options.order != Order::kPerKeyStrict || plan_.handlers.size() > 1) return;
  for (const auto& [other, state] : states_) {
    if (other.second != call.handler || other.first >= call.message) continue;
    if (KeyText(other.first) != KeyText(call.message)) continue;
    if (!orders_group_ && (state.member != call.member || state.cut > 0 || call.redelivered)) continue;
    // A last attempt that was recorded and cut off before it began is the last one all the same.
    auto recorded = recorded_attempts_.find({other.first, plan.name});
    const bool used_up = recorded != recorded_attempts_.end() && recorded->second > plan.options.max_retries;
    if (state.ok || state.given_up || used_up || state.started == 0 || state.forks > 0) continue;
    Fail(absl::StrCat(Name(call.message, call.handler), ": begun while message ", other.first,
                      " of its key has not ended"));
  }
}

void Checker::NoLongerRuns(int message, int handler, int member) {
  state(message, handler).running = false;
  --running_key_[Key(message, handler, member)];
}

void Checker::End(int message, int handler, int member, const absl::Status& outcome, absl::Time now) {
  NoLongerRuns(message, handler, member);
  State& s = state(message, handler);
  const messaging::HandlerOptions& options = plan_.handlers[static_cast<size_t>(handler)].options;
  if (outcome.ok()) {
    s.ok = true;
    s.may_again = false;
  } else if (!absl::IsCancelled(outcome)) {
    s.given_up = absl::IsInvalidArgument(outcome) || s.attempt > options.max_retries;
    s.not_before = now + options.retry_delay;
    s.failed = true;
    ++s.failures;
  } else {
    --s.started;  // A release is no attempt.
  }
}

void Checker::Cut(int message, int handler, int member) {
  NoLongerRuns(message, handler, member);
  State& s = state(message, handler);
  ++s.cut;
  s.may_again = true;
  s.given_up = s.attempt > plan_.handlers[static_cast<size_t>(handler)].options.max_retries;
}

void Checker::Repeat(int message, int handler) {
  State& s = state(message, handler);
  ++s.cut;
  s.may_again = true;
  s.not_before = absl::InfinitePast();
}

void Checker::Forked(int message, int handler) { ++state(message, handler).forks; }

void Checker::Acked(const Entry& entry, const std::vector<Copy>& copies) {
  for (size_t h = 0; h < plan_.handlers.size(); ++h) {
    const HandlerPlan& plan = plan_.handlers[h];
    if (!entry.handler.empty() && entry.handler != plan.name) continue;
    const int handler = static_cast<int>(h);
    auto copy =
        std::find_if(copies.begin(), copies.end(), [&](const Copy& c) { return c.failure.handler == plan.name; });
    State& s = state(entry.message, handler);
    if (copy != copies.end() && copy->kind == Copy::Kind::kDeadLetter) s.given_up = true;
    if (copy == copies.end() && !s.ok && !s.late_ok) {
      Fail(absl::StrCat(Name(entry.message, handler), ": acknowledged without a handler's OK or a copy"));
    }
  }
}

void Checker::AtEnd(const std::vector<DeadEntry>& dead) {
  std::map<std::pair<int, std::string>, int> dead_count;
  for (const DeadEntry& entry : dead) ++dead_count[{entry.message, entry.failure.handler}];
  for (size_t m = 0; m < plan_.messages.size(); ++m) {
    for (size_t h = 0; h < plan_.handlers.size(); ++h) {
      const int message = static_cast<int>(m);
      const int handler = static_cast<int>(h);
      const State& s = state(message, handler);
      const int deaths = dead_count[{message, plan_.handlers[h].name}];
      const std::string name = Name(message, handler);
      if (!s.ok && !s.late_ok && deaths == 0) Fail(absl::StrCat(name, ": lost"));
      if (deaths > 1 + s.forks) Fail(absl::StrCat(name, ": ", deaths, " dead letters"));
      // Killed from outside, while it ran alone or was about to, as often as it has attempts: nobody can tell it from a
      // killer.
      const std::pair<int, std::string> who{message, plan_.handlers[h].name};
      const int not_begun = std::max({recorded_[who], recorded_attempts_[who], s.attempt}) - s.started;
      const int cut = s.cut + std::max(0, not_begun);
      const int outages = plan_.handlers[h].has_breaker() ? s.failures : 0;
      const bool was_cut = cut + outages > plan_.handlers[h].options.max_retries;
      switch (plan_.messages[m].behaviours[h]) {
        case Behaviour::kOk:
          if (deaths > 0 && !was_cut && s.forks == 0) Fail(absl::StrCat(name, ": a good message is dead"));
          break;
        case Behaviour::kFailSome:
          if (deaths > 0 && cut == 0 && s.forks == 0) {
            Fail(absl::StrCat(name, ": dead though its last attempt succeeds"));
          }
          break;
        default:
          if (deaths == 0) Fail(absl::StrCat(name, ": not dead though it always fails"));
          break;
      }
    }
  }
}

}  // namespace simulation
