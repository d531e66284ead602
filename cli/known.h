// For a topic or group that a person named and of which nothing was found: whether it is there at all.
#ifndef CLI_KNOWN_H_
#define CLI_KNOWN_H_

#include <string>

#include "absl/status/status.h"
#include "messaging/broker/admin.h"

namespace messaging::cli {

// NotFound: "no topic ordres is known on this broker; did you mean orders?". OK also where the broker cannot list them.
// Empty names are not looked for.
absl::Status CheckKnown(Admin& admin, const std::string& topic, const std::string& group);

}  // namespace messaging::cli

#endif  // CLI_KNOWN_H_
