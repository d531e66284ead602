#include "tests/simulation/plan.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"

namespace simulation {
namespace {

using messaging::Order;

constexpr std::string_view kBehaviours[] = {"ok", "fails some", "fails always", "permanent", "undecodable", "kills"};

class Drawer {
 public:
  explicit Drawer(uint64_t seed) : random_(seed) {}
  int Below(int n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }
  bool Chance(double p) { return (random_() >> 11) * 0x1.0p-53 < p; }
  absl::Duration Up(int milliseconds) { return absl::Milliseconds(Below(milliseconds)); }

 private:
  std::mt19937_64 random_;
};

HandlerPlan DrawHandler(Drawer& draw, int number) {
  HandlerPlan plan;
  plan.name = absl::StrCat("handler", number);
  plan.options.topics = {"topic"};
  plan.options.max_retries = draw.Below(4);
  plan.options.retry_delay = absl::Milliseconds(draw.Below(3) == 0 ? 0 : 50 + draw.Below(2000));
  plan.options.backoff.factor = draw.Chance(0.3) ? 2.0 : 1.0;
  plan.options.backoff.jitter = draw.Chance(0.3) ? 0.5 : 0.0;
  plan.options.concurrency = draw.Chance(0.5) ? 0 : 1 + draw.Below(4);
  plan.is_batch = draw.Chance(0.2);
  plan.is_async = !plan.is_batch && draw.Chance(0.3);
  plan.options.batch = {.max = static_cast<size_t>(1 + draw.Below(6)), .wait = draw.Up(100)};
  const int order = draw.Below(4);
  plan.options.order = order == 0 ? Order::kNone : order == 1 && !plan.is_batch ? Order::kPerKeyStrict : Order::kPerKey;
  if (draw.Chance(0.25)) {
    plan.options.breaker.probe_after = absl::Milliseconds(50 + draw.Below(1500));
    if (draw.Chance(0.7)) {
      plan.options.breaker.failures = 1 + draw.Below(plan.options.max_retries + 1);
    } else {
      plan.options.breaker.share = 0.5;
      plan.options.breaker.least = 1 + draw.Below(5);
    }
  }
  if (draw.Chance(0.2)) plan.options.rate_limit = {.per_second = 5.0 + draw.Below(100), .burst = 1 + draw.Below(5)};
  return plan;
}

MessagePlan DrawMessage(Drawer& draw, const std::vector<HandlerPlan>& handlers, int number, int keys, double bad) {
  MessagePlan message{.key = draw.Chance(0.3) ? "-" : absl::StrCat("k", draw.Below(keys)),
                      .sent_at = absl::Milliseconds(20 * number)};
  for (const HandlerPlan& plan : handlers) {
    Behaviour behaviour = Behaviour::kOk;
    int failures = 0;
    if (draw.Chance(bad)) behaviour = static_cast<Behaviour>(1 + draw.Below(5));
    if (behaviour == Behaviour::kKill && draw.Chance(0.7)) behaviour = Behaviour::kOk;
    // Where everything else has ended they would keep the breaker open for good, which is what it is for.
    const bool fails = behaviour == Behaviour::kFailSome || behaviour == Behaviour::kFailAlways;
    if (plan.has_breaker() && fails) behaviour = Behaviour::kOk;
    if (behaviour == Behaviour::kFailSome && plan.options.max_retries == 0) behaviour = Behaviour::kOk;
    if (behaviour == Behaviour::kFailSome) failures = 1 + draw.Below(plan.options.max_retries);
    message.behaviours.push_back(behaviour);
    message.failures.push_back(failures);
  }
  return message;
}

std::vector<Fault> DrawFaults(Drawer& draw, Model model, int members, int handlers) {
  using Kind = Fault::Kind;
  std::vector<Fault> faults;
  const auto add = [&](Kind kind, int most, double chance, int longest) {
    if (!draw.Chance(chance)) return;
    for (int i = 1 + draw.Below(most); i > 0; --i) {
      faults.push_back({.kind = kind, .at = draw.Up(5000), .member = draw.Below(members), .lasts = draw.Up(longest)});
    }
  };
  add(Kind::kCrash, 3, 0.6, 1);
  add(Kind::kStop, 3, 0.6, 1);
  add(Kind::kRefuse, 1, 0.3, 5000);
  add(Kind::kStall, 2, 0.3, 4000);
  add(Kind::kClock, 2, 0.2, 20'000);
  add(Kind::kPause, 6, 0.5, 4000);
  if (model != Model::kLeases) {  // A file is not far away.
    add(Kind::kDisconnect, 4, 0.5, 1);
    add(Kind::kServerDown, 2, 0.2, 1500);
  }
  for (Fault& fault : faults) {
    if (fault.kind == Kind::kClock && draw.Chance(0.5)) fault.lasts = -fault.lasts;
    if (fault.kind == Kind::kPause) fault.handler = draw.Below(handlers + 1) - 1;
  }
  std::stable_sort(faults.begin(), faults.end(), [](const Fault& a, const Fault& b) { return a.at < b.at; });
  return faults;
}

// Removes runs of elements, long ones first, as long as it fails without them.
template <typename T>
void ShrinkList(Plan& plan, std::vector<T> Plan::*list, const std::function<bool(const Plan&)>& fails) {
  for (size_t run = std::max<size_t>(1, (plan.*list).size() / 2); run > 0; run /= 2) {
    for (size_t at = 0; at < (plan.*list).size();) {
      Plan smaller = plan;
      auto& items = smaller.*list;
      items.erase(items.begin() + static_cast<int64_t>(at),
                  items.begin() + static_cast<int64_t>(std::min(at + run, items.size())));
      if (fails(smaller)) {
        plan = std::move(smaller);
      } else {
        at += run;
      }
    }
  }
}

}  // namespace

std::string_view Name(Model model) {
  constexpr std::string_view names[] = {"sqlite", "redis", "rabbitmq"};
  return names[static_cast<int>(model)];
}

std::optional<Model> FindModel(std::string_view name) {
  for (const Model model : kModels) {
    if (Name(model) == name) return model;
  }
  return std::nullopt;
}

std::string_view Name(Fault::Kind kind) {
  constexpr std::string_view names[] = {"crash",       "stop",  "copies refused", "connection lost",
                                        "server down", "stall", "clock jumps",    "pause"};
  return names[static_cast<int>(kind)];
}

Plan DrawPlan(uint64_t seed, Model model) {
  Drawer draw(seed);
  Plan plan{.model = model, .seed = seed};
  for (int i = draw.Chance(0.6) ? 1 : 2 + draw.Below(2); i > 0; --i) plan.handlers.push_back(DrawHandler(draw, i));
  const int count = 10 + draw.Below(60);
  const int keys = 1 + draw.Below(8);
  const double bad = draw.Below(3) * 0.15;
  for (int m = 0; m < count; ++m) plan.messages.push_back(DrawMessage(draw, plan.handlers, m, keys, bad));
  plan.max_messages = static_cast<size_t>(1 + draw.Below(20));
  plan.workers = 1 + draw.Below(4);
  plan.members = 1 + draw.Below(3);
  plan.faults = DrawFaults(draw, model, plan.members, static_cast<int>(plan.handlers.size()));
  plan.outage_from = draw.Up(2000);
  plan.outage_until = plan.outage_from + draw.Up(6000);
  return plan;
}

std::string Describe(const Plan& plan) {
  std::string text = absl::StrCat(Name(plan.model), ": ", plan.members, " members of ", plan.workers, " workers, ",
                                  plan.max_messages, " messages in hand");
  for (const HandlerPlan& handler : plan.handlers) {
    constexpr std::string_view orders[] = {"per key", "per key, strict", "none"};
    absl::StrAppend(&text, "\n", handler.name,
                    handler.is_batch   ? " batch"
                    : handler.is_async ? " asynchronous"
                                       : "",
                    " max_retries ", handler.options.max_retries, " retry_delay ",
                    absl::FormatDuration(handler.options.retry_delay), " order ",
                    orders[static_cast<int>(handler.options.order)]);
    if (handler.options.rate_limit.per_second > 0) {
      absl::StrAppend(&text, " at most ", handler.options.rate_limit.per_second, " a second");
    }
    if (handler.has_breaker()) {
      absl::StrAppend(&text, " breaker, with an outage from ", absl::FormatDuration(plan.outage_from), " to ",
                      absl::FormatDuration(plan.outage_until));
    }
  }
  for (size_t m = 0; m < plan.messages.size(); ++m) {
    const MessagePlan& message = plan.messages[m];
    absl::StrAppend(&text, "\nmessage ", m, " key ", message.key, " at ", absl::FormatDuration(message.sent_at));
    for (const Behaviour behaviour : message.behaviours) {
      absl::StrAppend(&text, " ", kBehaviours[static_cast<int>(behaviour)]);
    }
  }
  for (const Fault& fault : plan.faults) {
    absl::StrAppend(&text, "\n", Name(fault.kind), " at ", absl::FormatDuration(fault.at), " member ", fault.member,
                    " for ", absl::FormatDuration(fault.lasts));
    if (fault.kind == Fault::Kind::kPause) absl::StrAppend(&text, " handler ", fault.handler + 1, " (0: the topic)");
  }
  return text + "\n";
}

Plan Shrink(Plan plan, const std::function<bool(const Plan&)>& fails) {
  ShrinkList(plan, &Plan::faults, fails);
  ShrinkList(plan, &Plan::messages, fails);
  ShrinkList(plan, &Plan::faults, fails);
  for (auto member : {&Plan::members, &Plan::workers}) {
    while (plan.*member > 1) {
      Plan smaller = plan;
      --(smaller.*member);
      for (Fault& fault : smaller.faults) fault.member = std::min(fault.member, smaller.members - 1);
      if (!fails(smaller)) break;
      plan = std::move(smaller);
    }
  }
  for (size_t h = 0; plan.handlers.size() > 1 && h < plan.handlers.size();) {
    Plan smaller = plan;
    const auto at = static_cast<int64_t>(h);
    smaller.handlers.erase(smaller.handlers.begin() + at);
    for (MessagePlan& message : smaller.messages) {
      message.behaviours.erase(message.behaviours.begin() + at);
      message.failures.erase(message.failures.begin() + at);
    }
    for (Fault& fault : smaller.faults) {
      fault.handler = std::min(fault.handler, static_cast<int>(smaller.handlers.size()) - 1);
    }
    if (fails(smaller)) {
      plan = std::move(smaller);
    } else {
      ++h;
    }
  }
  ShrinkList(plan, &Plan::messages, fails);
  return plan;
}

}  // namespace simulation
