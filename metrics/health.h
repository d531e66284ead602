// What the probes are answered: decided from a client's progress, without I/O.
#ifndef METRICS_HEALTH_H_
#define METRICS_HEALTH_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "messaging/progress.h"

namespace messaging::metrics {

// OK: all that runs began less than `stuck_after` ago. Else names each handler that has not returned, and since when.
absl::Status Live(const Progress& progress, absl::Duration stuck_after);

// OK: messages are consumed, by some handler at least. `connection`: what the broker answered last. Else one line that
// says what is missing.
absl::Status Ready(const Progress& progress, const absl::Status& connection);

// Who takes nothing now, and why: "handler Charge is paused, ..."; empty: nobody.
std::string Paused(const Progress& progress);

const char* GateName(Gate gate);               // "open", ...
const char* PhaseName(Progress::Phase phase);  // "consuming", ...

// Host and port of HOST:PORT, [HOST]:PORT, or of PORT or :PORT alone: 127.0.0.1. InvalidArgument shows what was given.
struct Address {
  std::string host;
  int port = 0;
};
absl::Status ParseAddress(const std::string& text, Address& address);

}  // namespace messaging::metrics

#endif  // METRICS_HEALTH_H_
