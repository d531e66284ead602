// Which broker a client talks to, where, and in which group: its options, completed from the environment.
#ifndef MESSAGING_INTERNAL_ENVIRONMENT_H_
#define MESSAGING_INTERNAL_ENVIRONMENT_H_

#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "messaging/broker/registry.h"
#include "messaging/client_options.h"

namespace messaging::internal {

struct ResolvedOptions {
  BrokerEntry entry;
  BrokerOptions broker;  // Its URL is well-formed (Url::Parse) and of one of the entry's schemes.
  std::string group;     // A valid one.
};

// A variable's value; nullopt where it is not set. Empty values count as not set.
using GetVariable = std::function<std::optional<std::string>(const char* name)>;
std::optional<std::string> ProcessVariable(const char* name);

// By the rules at ClientOptions. InvalidArgument or NotFound with one line that names the variable or option at fault
// and shows no URL.
absl::StatusOr<ResolvedOptions> ResolveOptions(const ClientOptions& options, const Registry& registry,
                                               const GetVariable& variable = ProcessVariable);

}  // namespace messaging::internal

#endif  // MESSAGING_INTERNAL_ENVIRONMENT_H_
