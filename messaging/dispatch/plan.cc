#include "messaging/dispatch/plan.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "messaging/dispatch/retry.h"
#include "messaging/message.h"

namespace messaging {
namespace {

std::string GroupOf(const Handler& handler, const std::string& default_group) {
  return handler.options.group.empty() ? default_group : handler.options.group;
}

absl::Status CheckOptions(const Handler& handler) {
  const HandlerOptions& options = handler.options;
  auto error = [&](std::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("handler ", handler.name, ": ", what));
  };
  if (handler.name.empty()) return absl::InvalidArgumentError("a handler has no name");
  if (options.topics.empty()) return error("no topic: set .topics");
  for (const std::string& topic : options.topics) {
    if (!IsValidTopic(topic)) return error(absl::StrCat("topic \"", topic, "\" is not [A-Za-z0-9._-]{1,120}"));
    if (std::count(options.topics.begin(), options.topics.end(), topic) > 1) {
      return error(absl::StrCat("topic ", topic, " is named twice: it would be handled twice"));
    }
  }
  if (!options.group.empty() && !IsValidTopic(options.group)) {
    return error(absl::StrCat("group \"", options.group, "\" is not [A-Za-z0-9._-]{1,120}"));
  }
  if (options.max_retries < 0) return error("max_retries is negative");
  if (options.retry_delay < absl::ZeroDuration()) return error("retry_delay is negative");
  if (options.retry_delay == absl::InfiniteDuration()) return error("retry_delay is infinite");
  const Backoff& backoff = options.backoff;  // Not a number is neither.
  if (!(backoff.factor >= 1) || !(backoff.jitter >= 0) || !std::isfinite(backoff.jitter)) {
    return error("backoff: factor under 1, or jitter negative or infinite");
  }
  if (backoff.factor > 1 && backoff.max == absl::InfiniteDuration() && options.max_retries > 64) {
    return error("backoff: grows without a ceiling over more than 64 retries");
  }
  if (options.concurrency < 0) return error("concurrency is negative");
  if (options.timeout <= absl::ZeroDuration()) return error("timeout is not positive");
  if (options.validate && options.validate.type() != handler.message) {
    return error(absl::StrCat("validate checks another type than its message, ", handler.message_type));
  }
  if (handler.is_batch && options.batch.max == 0) return error("batch.max is 0");
  if (handler.is_batch && options.order == Order::kPerKeyStrict) {
    return error("order per key across retries is not for batches: use Order::kPerKey, or handle single messages");
  }
  const Breaker& breaker = options.breaker;
  if (breaker.failures < 0 || !(breaker.share >= 0 && breaker.share <= 1) || breaker.least < 1 ||
      breaker.window <= absl::ZeroDuration() || breaker.probe_after <= absl::ZeroDuration()) {
    return error("breaker: failures is negative, share not in 0 to 1, or least, window or probe_after not positive");
  }
  if (!(options.rate_limit.per_second >= 0 && options.rate_limit.per_second <= 1e9) || options.rate_limit.burst < 1) {
    return error("rate_limit: per_second is negative or over 1e9, or burst under 1");
  }
  if (options.idempotent && handler.is_batch) return error("idempotent is not for batches: handle single messages");
  return absl::OkStatus();
}

bool CanMark(const Handler& handler, const Providers& providers) {
  return std::any_of(handler.needs.begin(), handler.needs.end(), [&](const TypeId& need) {
    const Provider* provider = providers.Find(need.index);
    return provider != nullptr && provider->lifetime == Lifetime::kMessage && provider->mark;
  });
}

}  // namespace

absl::Status CheckHandlers(const std::vector<Handler>& handlers, const Providers& providers) {
  if (handlers.empty()) {
    return absl::FailedPreconditionError(
        "no handlers: register one with MESSAGE_HANDLER in a message_handlers() target that the binary depends on");
  }
  std::vector<std::string> errors;
  std::map<std::string, int> names;
  absl::StatusCode code = absl::StatusCode::kFailedPrecondition;
  for (const Handler& handler : handlers) {
    if (absl::Status status = CheckOptions(handler); !status.ok()) {
      errors.emplace_back(status.message());
      code = status.code();
    }
    if (absl::Status status = providers.Check(handler.name, handler.needs); !status.ok()) {
      errors.emplace_back(status.message());
    }
    if (handler.options.idempotent && !CanMark(handler, providers)) {
      errors.push_back(absl::StrCat("handler ", handler.name,
                                    " is idempotent, but takes nothing that can mark a message",
                                    " as handled: let it take an inbox::Transaction& (inbox/inbox.h)"));
    }
    std::vector<std::string> all = handler.options.formerly;
    all.push_back(handler.name);
    for (const std::string& name : all) {
      if (++names[name] == 2) {
        errors.push_back(absl::StrCat("two handlers are called ", name, ": give one of them a .name of its own"));
      }
    }
  }
  if (errors.empty()) return absl::OkStatus();
  return absl::Status(code, absl::StrJoin(errors, "\n"));
}

std::vector<EngineHandler> PlanHandlers(const std::vector<Handler>& handlers, const std::string& default_group,
                                        std::vector<std::string>& groups) {
  std::vector<EngineHandler> planned;
  for (const Handler& handler : handlers) {
    const std::string group = GroupOf(handler, default_group);
    auto found = std::find(groups.begin(), groups.end(), group);
    const int index = static_cast<int>(found - groups.begin());
    if (found == groups.end()) groups.push_back(group);
    planned.push_back({.name = handler.name,
                       .options = &handler.options,
                       .subscription = index,
                       .is_batch = handler.is_batch,
                       .is_async = handler.is_async});
  }
  return planned;
}

SubscribeOptions PlanSubscription(const std::vector<Handler>& handlers, const std::string& default_group,
                                  const std::string& group, StartAt start_at) {
  std::map<std::string, TopicPlan> topics;
  std::vector<const HandlerOptions*> group_options;
  for (const Handler& handler : handlers) {
    const HandlerOptions& options = handler.options;
    if (GroupOf(handler, default_group) != group) continue;
    group_options.push_back(&options);
    for (const std::string& name : options.topics) {
      TopicPlan& topic = topics.try_emplace(name, TopicPlan{.topic = name, .ordered = false}).first->second;
      topic.handlers.push_back(handler.name);
      topic.handlers.insert(topic.handlers.end(), options.formerly.begin(), options.formerly.end());
      topic.ordered = topic.ordered || options.order != Order::kNone;
      topic.strict = topic.strict || options.order == Order::kPerKeyStrict;
    }
  }
  char host[256] = "localhost";
  gethostname(host, sizeof host - 1);
  SubscribeOptions subscribe{
      .group = group,
      .start_at = start_at,
      .member = absl::StrFormat("%s-%d-%08x", host, getpid(), absl::Uniform<uint32_t>(absl::BitGen())),
  };
  const std::vector<absl::Duration> rungs = RetryRungs(group_options);
  for (auto& [name, topic] : topics) {
    topic.retry_rungs = rungs;
    subscribe.topics.push_back(std::move(topic));
  }
  return subscribe;
}

}  // namespace messaging
