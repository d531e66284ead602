// Health and metrics of a client, over HTTP: what an orchestrator's probes, Prometheus and a person ask.
//
//   GET /metrics  Prometheus' text format (docs/metrics.md)
//   GET /live     200, or 503 with why: a handler's call has been running for longer than stuck_after
//   GET /ready    200, or 503 with a line for each part that is missing: progress, connection, assignment, drain
//   GET /status   JSON: broker, group, phase, connection, and what each handler has in hand
//   POST /pause   with ?handler=NAME, ?topic=NAME or neither, and "Authorization: Bearer TOKEN": as Client::Pause
//   POST /resume  likewise
#ifndef METRICS_HTTP_H_
#define METRICS_HTTP_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/client.h"
#include "metrics/prometheus.h"

namespace messaging::metrics {

struct HttpOptions {
  // HOST:PORT, as 127.0.0.1:8080 or [::1]:8080; a port alone: on 127.0.0.1; port 0: any that is free. There is no TLS
  // and no password for reading, and topics and handlers are named: 0.0.0.0 is for networks where anybody may read
  // that.
  std::string address;
  std::string token;  // Who has it may pause and resume; empty: nobody may.
  // Longer than a handler may take, and than a send's deadline (120 s by default), which it may wait for.
  absl::Duration stuck_after = absl::Minutes(5);
};

// Serves from its making to its destruction, on threads of its own, four requests at a time. Thread-safe.
class HttpServer {
 public:
  // `client` and `observer` outlive it. InvalidArgument: the address is none; AlreadyExists: it is in use, or may not
  // be taken.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(HttpOptions options, Client& client,
                                                           const PrometheusObserver& observer);
  ~HttpServer();
  const std::string& address() const;  // With the port that was taken.

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace messaging::metrics

#endif  // METRICS_HTTP_H_
