// What the probes are answered: decided from a client's progress, without I/O.
#ifndef METRICS_HEALTH_H_
#define METRICS_HEALTH_H_

#include <array>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "messaging/progress.h"

namespace messaging::metrics {

// OK: all that runs began less than `stuck_after` ago. Else names each handler that has not returned, and since when.
absl::Status Live(const Progress& progress, absl::Duration stuck_after);

// Whether messages are consumed, in four parts. Each is OK, or says in one line what is missing.
struct Readiness {
  absl::Status progress;    // Calls return, settlements are taken, and some handler at least is not paused.
  absl::Status connection;  // The broker answers.
  absl::Status assignment;  // It has joined, and its groups let it read what is left for it.
  absl::Status drain;       // It is not stopping.

  std::array<std::pair<const char*, const absl::Status*>, 4> Parts() const;  // With their names, in this order.
  bool ok() const { return Missing().empty(); }
  std::string Missing() const;  // "connection: ...\n", a line for each part that is not OK.
};
// `connection`: what the broker answered last. `stuck_after`: how long a call, or a settling that is refused, is no
// reason.
Readiness Ready(const Progress& progress, const absl::Status& connection, absl::Duration stuck_after);

// What a consumer that is ready does not do: "handler Charge is paused, ..., group shop has no partition for it";
// empty: it does all.
std::string Idle(const Progress& progress);

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
