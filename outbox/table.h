// How a message lies in the table messaging_outbox.
#ifndef OUTBOX_TABLE_H_
#define OUTBOX_TABLE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "messaging/message.h"

namespace messaging::outbox {

// What PostgreSQL's writers notify, and the relay listens to.
inline constexpr char kChannel[] = "messaging_outbox";

// Names and values, each after its size as four bytes, the lowest first.
std::string PackHeaders(const std::vector<Header>& headers);
// DataLoss: these are no headers.
absl::StatusOr<std::vector<Header>> UnpackHeaders(std::string_view packed);

}  // namespace messaging::outbox

#endif  // OUTBOX_TABLE_H_
