#include "messaging/broker/dead_letters.h"

#include "absl/status/status.h"

namespace messaging {

absl::Status DeadLetters::Import(const DeadLetter&) {
  return absl::UnimplementedError("this broker cannot import dead letters");
}

}  // namespace messaging
