// What a client does, as metrics in Prometheus' text format.
//
//   metrics::PrometheusObserver observer;
//   messaging::Configure({.observer = &observer});
//   ... serve observer.Text(), or register the observer in a prometheus::Registry of your own.
//
// docs/metrics.md lists every metric.
#ifndef METRICS_PROMETHEUS_H_
#define METRICS_PROMETHEUS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "messaging/observer.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace messaging::metrics {

struct PrometheusOptions {
  // Distinct topics, and as many handlers, that get series of their own; what comes later is counted under "other".
  size_t max_names = 200;
};

// Counts in memory of each thread's own, so that a message costs no shared cache line; Collect adds them up.
// Thread-safe. Outlives the clients that it observes.
class PrometheusObserver final : public Observer, public prometheus::Collectable {
 public:
  explicit PrometheusObserver(PrometheusOptions options = {});
  ~PrometheusObserver() override;

  std::string Text() const;  // Content type "text/plain; version=0.0.4; charset=utf-8".
  std::vector<prometheus::MetricFamily> Collect() const override;

  void OnSent(std::string_view topic, size_t bytes) override;
  void OnSendResolved(std::string_view topic, const absl::Status& status, absl::Duration latency) override;
  void OnSendFailureUnseen(std::string_view topic, const absl::Status& status) override;
  void OnReceived(std::string_view topic, size_t messages, size_t bytes) override;
  void OnHandled(std::string_view handler, std::string_view topic, const Handled& attempts) override;
  void OnRetry(std::string_view handler, std::string_view topic, int attempts, absl::Duration delay) override;
  void OnDeadLetter(std::string_view handler, std::string_view topic, const absl::Status& why) override;
  void OnReleased(std::string_view topic, size_t messages) override;
  void OnLateSettlement(std::string_view topic) override;
  void OnGate(std::string_view handler, Gate gate) override;
  void OnInFlight(size_t messages, size_t bytes) override;
  void OnConnection(std::string_view broker, Connection state, std::string_view what) override;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace messaging::metrics

#endif  // METRICS_PROMETHEUS_H_
