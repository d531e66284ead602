// Prints metrics of every kind, with names that are hostile: format_test.py lets Prometheus' own parser read them.
#include <cstdio>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "metrics/prometheus.h"

int main() {
  const absl::Time now = absl::UnixEpoch() + absl::Hours(1);
  messaging::metrics::PrometheusObserver observer({.max_names = 4});
  for (std::string_view topic : {"orders", "a\"b\\c\nd", "\xff\xfe", "", "fifth", "sixth"}) {
    observer.OnSent(topic, 10);
    observer.OnSendResolved(topic, absl::OkStatus(), absl::Milliseconds(3));
    observer.OnSendResolved(topic, absl::DeadlineExceededError("x"), absl::InfiniteDuration());
    observer.OnSendResolved(topic, absl::InternalError("x"), -absl::InfiniteDuration());
    observer.OnSendFailureUnseen(topic, absl::InternalError("x"));
    observer.OnReceived(topic, 2, 20);
    observer.OnHandled("Charge", topic, {absl::OkStatus(), absl::Milliseconds(20), now, {now - absl::Seconds(2)}});
    observer.OnHandled("Charge", topic, {absl::UnavailableError("x"), absl::Milliseconds(20), now, {now + absl::Seconds(2)}});
    observer.OnRetry("Charge", topic, 1, absl::Seconds(1));
    observer.OnDeadLetter("Charge", topic, absl::DataLossError("x"));
    observer.OnReleased(topic, 3);
    observer.OnLateSettlement(topic);
  }
  observer.OnInFlight(7, 70);
  using messaging::Gate;
  for (Gate gate : {Gate::kPaused, Gate::kOpen, Gate::kTripped, Gate::kProbing, Gate::kTripped}) {
    observer.OnGate("Charge", gate);
  }
  using Connection = messaging::Observer::Connection;
  observer.OnConnection("redis", Connection::kConnected, "");
  observer.OnConnection("redis", Connection::kLost, "");
  std::fputs(observer.Text().c_str(), stdout);
}
