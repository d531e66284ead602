// From registered handlers to what the engine and the brokers need to know of them.
#ifndef MESSAGING_DISPATCH_PLAN_H_
#define MESSAGING_DISPATCH_PLAN_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "messaging/broker/broker.h"
#include "messaging/dispatch/engine.h"
#include "messaging/handler.h"
#include "messaging/provide.h"

namespace messaging {

// What is wrong with the handlers of one consumer, one line for each error; OK: nothing. InvalidArgument: options that
// make no sense; FailedPrecondition: none at all, a name twice, a type that nobody provided.
absl::Status CheckHandlers(const std::vector<Handler>& handlers, const Providers& providers);

// The handlers for the engine, which keeps pointers into `handlers`; fills `groups` with the distinct groups, whose
// index is EngineHandler::subscription.
std::vector<EngineHandler> PlanHandlers(const std::vector<Handler>& handlers, const std::string& default_group,
                                        std::vector<std::string>& groups);

// How `group` consumes: its topics with their handlers and retry rungs.
SubscribeOptions PlanSubscription(const std::vector<Handler>& handlers, const std::string& default_group,
                                  const std::string& group, StartAt start_at);

}  // namespace messaging

#endif  // MESSAGING_DISPATCH_PLAN_H_
