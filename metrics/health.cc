#include "metrics/health.h"

#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace messaging::metrics {

absl::Status Live(const Progress& progress, absl::Duration stuck_after) {
  std::vector<std::string> stuck;
  for (const HandlerProgress& handler : progress.handlers) {
    if (handler.longest <= stuck_after) continue;
    const absl::Duration seconds = absl::Floor(handler.longest, absl::Seconds(1));
    stuck.push_back(absl::StrCat("handler ", handler.name, " has not returned for ",
                                 absl::FormatDuration(seconds > absl::ZeroDuration() ? seconds : handler.longest),
                                 ", and ", handler.waiting, " more wait for it"));
  }
  if (stuck.empty()) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrJoin(stuck, "; "));
}

absl::Status Ready(const Progress& progress, const absl::Status& connection) {
  switch (progress.phase) {
    case Progress::Phase::kNew:
      return absl::UnavailableError("not joined yet");
    case Progress::Phase::kDraining:
      return absl::UnavailableError(absl::StrCat("draining, ", progress.messages, " messages in hand"));
    case Progress::Phase::kEnded:
      return absl::UnavailableError("stopped");
    case Progress::Phase::kFailed:
      return absl::UnavailableError(absl::StrCat("the consumer has ended: ", progress.failure.ToString()));
    case Progress::Phase::kConsuming:
      break;
  }
  if (connection.ok()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the broker does not answer: ", connection.ToString()));
}

const char* PhaseName(Progress::Phase phase) {
  switch (phase) {
    case Progress::Phase::kNew:
      return "new";
    case Progress::Phase::kConsuming:
      return "consuming";
    case Progress::Phase::kDraining:
      return "draining";
    case Progress::Phase::kEnded:
      return "ended";
    case Progress::Phase::kFailed:
      return "failed";
  }
  return "unknown";
}

absl::Status ParseAddress(const std::string& text, Address& address) {
  const size_t colon = text.rfind(':');
  std::string_view host = std::string_view(text).substr(0, colon == std::string::npos ? 0 : colon);
  const bool bracketed = absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]");
  const bool host_ok =
      !host.empty() && host.find_first_of("[]/ ") == host.npos && (bracketed || host.find(':') == host.npos);
  int port = 0;
  const bool port_ok =
      colon != std::string::npos && absl::SimpleAtoi(text.substr(colon + 1), &port) && port >= 0 && port <= 65535;
  if (!host_ok || !port_ok) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is no HOST:PORT, as 127.0.0.1:8080 or [::1]:8080"));
  }
  address = {std::string(host), port};
  return absl::OkStatus();
}

}  // namespace messaging::metrics
