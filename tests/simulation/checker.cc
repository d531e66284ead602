#include "tests/simulation/checker.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace simulation {

using messaging::Copy;
using messaging::Order;

std::string Checker::Name(int message, int handler) const {
  return absl::StrCat("message ", message, " (key ", keys_[message], ") at ", handlers_[handler].name);
}

void Checker::Begin(int message, int handler, int attempt, bool suspect, int running_in_process, absl::Time now) {
  ++calls_;
  State& s = state(message, handler);
  const HandlerPlan& plan = handlers_[handler];
  if (plan.has_breaker() && s.failed && attempt == s.attempt) {  // It failed while the breaker was not closed.
    --s.started;
    --s.failures;
    s.given_up = false;
    s.uncounted = true;
    s.not_before = absl::InfinitePast();
  }
  ++s.started;
  s.attempt = attempt;
  s.failed = false;
  if (s.running) Fail(absl::StrCat(Name(message, handler), ": two calls at once"));
  s.running = true;
  if (now < s.not_before) {
    Fail(absl::StrCat(Name(message, handler), ": retried ", absl::FormatDuration(s.not_before - now), " too early"));
  }
  // A call that its process's end cut off, before its record, may be repeated once. Where several handlers retry one
  // message in place, the broker keeps the attempts of the last one only.
  const int most = plan.options.max_retries + 1;
  const int may =
      handlers_.size() > 1 && plan.options.order == Order::kPerKeyStrict ? most * (1 + s.cut) : most + s.cut;
  if (s.started > may) {
    Fail(absl::StrCat(Name(message, handler), ": started ", s.started, " times (", s.cut, " cut off), max_retries ",
                      plan.options.max_retries));
  }
  if (attempt > plan.options.max_retries + 1) Fail(absl::StrCat(Name(message, handler), ": attempt ", attempt));
  // A suspect's attempt is counted before it begins, and may be cut off in between.
  const bool recorded = recorded_.contains({message, plan.name});
  if (s.cut == 0 && attempt != s.started && !(recorded && attempt > s.started)) {
    Fail(absl::StrCat(Name(message, handler), ": attempt ", attempt, " is start number ", s.started));
  }
  if (suspect && running_in_process > 0) {
    Fail(absl::StrCat(Name(message, handler), ": a suspect, with ", running_in_process, " other calls running"));
  }
  CheckOrder(message, handler, attempt);
}

void Checker::CheckOrder(int message, int handler, int attempt) {
  if (keys_[message] == "-" || handlers_[handler].options.order == Order::kNone) return;
  const std::pair<std::string, int> key{keys_[message], handler};
  if (++running_key_[key] > 1 && !handlers_[handler].is_batch) {
    Fail(absl::StrCat(Name(message, handler), ": two messages of one key at once"));
  }
  int& newest = newest_.try_emplace(key, -1).first->second;
  const State& s = state(message, handler);
  // First calls come in the order of sending; a copy for one of several handlers (after a crash) may come late.
  if (s.started == 1 && attempt == 1 && !s.uncounted && message < newest && handlers_.size() == 1) {
    Fail(absl::StrCat(Name(message, handler), ": begun after message ", newest, " of the same key"));
  }
  if (s.started == 1) newest = std::max(newest, message);
  if (handlers_[handler].options.order == Order::kPerKeyStrict && handlers_.size() == 1) {
    for (const auto& [other, state] : states_) {
      // A last attempt that was recorded and cut off before it began is the last one all the same.
      auto recorded = recorded_attempts_.find({other.first, handlers_[handler].name});
      const bool used_up =
          recorded != recorded_attempts_.end() && recorded->second > handlers_[handler].options.max_retries;
      const bool ended = state.ok || state.given_up || used_up;
      if (other.second == handler && other.first < message && keys_[other.first] == keys_[message] && !ended) {
        Fail(absl::StrCat(Name(message, handler), ": begun while message ", other.first, " of its key has not ended"));
      }
    }
  }
}

void Checker::End(int message, int handler, const absl::Status& outcome, absl::Time now) {
  State& s = state(message, handler);
  s.running = false;
  --running_key_[{keys_[message], handler}];
  if (outcome.ok()) {
    s.ok = true;
  } else if (!absl::IsCancelled(outcome)) {
    s.given_up = absl::IsInvalidArgument(outcome) || s.attempt > handlers_[handler].options.max_retries;
    s.not_before = now + handlers_[handler].options.retry_delay;
    s.failed = true;
    ++s.failures;
  } else {
    --s.started;  // A release is no attempt.
  }
}

void Checker::Cut(int message, int handler) {
  State& s = state(message, handler);
  s.running = false;
  ++s.cut;
  s.given_up = s.attempt > handlers_[handler].options.max_retries;
  --running_key_[{keys_[message], handler}];
}

void Checker::Acked(const Entry& entry, const std::vector<Copy>& copies) {
  for (size_t h = 0; h < handlers_.size(); ++h) {
    const HandlerPlan& plan = handlers_[h];
    if (!entry.handler.empty() && entry.handler != plan.name) continue;
    const int handler = static_cast<int>(h);
    auto copy =
        std::find_if(copies.begin(), copies.end(), [&](const Copy& c) { return c.failure.handler == plan.name; });
    State& s = state(entry.message, handler);
    if (copy != copies.end() && copy->kind == Copy::Kind::kDeadLetter) s.given_up = true;
    if (copy == copies.end() && !s.ok) {
      Fail(absl::StrCat(Name(entry.message, handler), ": acknowledged without a handler's OK or a copy"));
    }
  }
}

void Checker::AtEnd(const std::vector<DeadEntry>& dead) {
  std::map<std::pair<int, std::string>, int> dead_count;
  for (const DeadEntry& entry : dead) ++dead_count[{entry.message, entry.failure.handler}];
  for (size_t m = 0; m < behaviours_.size(); ++m) {
    for (size_t h = 0; h < handlers_.size(); ++h) {
      const int message = static_cast<int>(m);
      const int handler = static_cast<int>(h);
      const State& s = state(message, handler);
      const int deaths = dead_count[{message, handlers_[h].name}];
      const std::string name = Name(message, handler);
      if (!s.ok && deaths == 0) Fail(absl::StrCat(name, ": lost"));
      if (deaths > 1) Fail(absl::StrCat(name, ": ", deaths, " dead letters"));
      // Killed from outside, while it ran alone or was about to, as often as it has attempts: nobody can tell it from a
      // killer.
      const std::pair<int, std::string> who{message, handlers_[h].name};
      const int not_begun = std::max({recorded_[who], recorded_attempts_[who], s.attempt}) - s.started;
      const int cut = s.cut + std::max(0, not_begun);
      const int outages = handlers_[h].has_breaker() ? s.failures : 0;
      const bool was_cut = cut + outages > handlers_[h].options.max_retries;
      switch (behaviours_[m][h]) {
        case Behaviour::kOk:
          if (deaths > 0 && !was_cut) Fail(absl::StrCat(name, ": a good message is dead"));
          break;
        case Behaviour::kFailSome:
          if (deaths > 0 && cut == 0) Fail(absl::StrCat(name, ": dead though its last attempt succeeds"));
          break;
        default:
          if (deaths == 0) Fail(absl::StrCat(name, ": not dead though it always fails"));
          break;
      }
    }
  }
}

}  // namespace simulation
