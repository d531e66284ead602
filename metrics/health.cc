#include "metrics/health.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>
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

namespace {

std::string Paused(const Progress& progress) {
  std::vector<std::string> paused;
  std::set<std::string> topics;
  for (const HandlerProgress& handler : progress.handlers) {
    if (handler.gate == Gate::kPaused) paused.push_back(absl::StrCat("handler ", handler.name, " is paused"));
    if (handler.gate == Gate::kTripped || handler.gate == Gate::kProbing) {
      paused.push_back(absl::StrCat("the breaker of handler ", handler.name, " is ",
                                    handler.gate == Gate::kTripped ? "open" : "half-open"));
    }
    topics.insert(handler.paused_topics.begin(), handler.paused_topics.end());
  }
  for (const std::string& topic : topics) paused.push_back(absl::StrCat("topic ", topic, " is paused"));
  return absl::StrJoin(paused, ", ");
}

absl::Status Advances(const Progress& progress, absl::Duration stuck_after) {
  if (progress.phase == Progress::Phase::kFailed) {
    return absl::UnavailableError(absl::StrCat("the consumer has ended: ", progress.failure.ToString()));
  }
  if (absl::Status live = Live(progress, stuck_after); !live.ok()) return live;
  if (progress.refused > 0 && progress.refusing > stuck_after) {
    return absl::UnavailableError(absl::StrCat(progress.refused, " messages could not be settled for ",
                                               absl::FormatDuration(absl::Trunc(progress.refusing, absl::Seconds(1)))));
  }
  const bool consumes = progress.handlers.empty() ||
                        std::any_of(progress.handlers.begin(), progress.handlers.end(), [](const HandlerProgress& h) {
                          return h.gate != Gate::kPaused && h.gate != Gate::kTripped &&
                                 (h.topics.empty() || h.paused_topics.size() < h.topics.size());
                        });
  if (!consumes) return absl::UnavailableError(absl::StrCat("nothing is consumed: ", Paused(progress)));
  return absl::OkStatus();
}

absl::Status HasAssignment(const Progress& progress) {
  if (progress.phase == Progress::Phase::kNew) return absl::UnavailableError("not joined yet");
  std::vector<std::string> missing;
  for (const Assignment& one : progress.assignments) {
    if (!one.missing.empty()) missing.push_back(absl::StrCat("group ", one.group, ": ", one.missing));
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrJoin(missing, "; "));
}

absl::Status StaysUp(const Progress& progress) {
  if (progress.phase == Progress::Phase::kDraining) {
    return absl::UnavailableError(absl::StrCat("draining, ", progress.messages, " messages in hand"));
  }
  if (progress.phase == Progress::Phase::kEnded) return absl::UnavailableError("stopped");
  return absl::OkStatus();
}

}  // namespace

std::array<std::pair<const char*, const absl::Status*>, 4> Readiness::Parts() const {
  return {{{"progress", &progress}, {"connection", &connection}, {"assignment", &assignment}, {"drain", &drain}}};
}

std::string Readiness::Missing() const {
  std::string missing;
  for (const auto& [part, status] : Parts()) {
    if (!status->ok()) absl::StrAppend(&missing, part, ": ", status->message(), "\n");
  }
  return missing;
}

Readiness Ready(const Progress& progress, const absl::Status& connection, absl::Duration stuck_after) {
  Readiness ready = {.progress = Advances(progress, stuck_after), .drain = StaysUp(progress)};
  if (!connection.ok()) {
    ready.connection = absl::UnavailableError(absl::StrCat("the broker does not answer: ", connection.ToString()));
  }
  if (progress.phase == Progress::Phase::kNew || progress.phase == Progress::Phase::kConsuming) {
    ready.assignment = HasAssignment(progress);
  }
  return ready;
}

std::string Idle(const Progress& progress) {
  std::string idle = Paused(progress);
  for (const Assignment& one : progress.assignments) {
    if (one.partitions != 0) continue;
    absl::StrAppend(&idle, idle.empty() ? "" : ", ", "group ", one.group, " has no partition for it");
  }
  return idle;
}

const char* GateName(Gate gate) {
  switch (gate) {
    case Gate::kOpen:
      return "open";
    case Gate::kPaused:
      return "paused";
    case Gate::kTripped:
      return "tripped";
    case Gate::kProbing:
      return "probing";
  }
  return "unknown";
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
  const bool port_alone = colon == std::string::npos || colon == 0;
  std::string_view host = std::string_view(text).substr(0, colon == std::string::npos ? 0 : colon);
  const bool bracketed = absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]");
  if (port_alone) host = "127.0.0.1";
  const bool host_ok =
      !host.empty() && host.find_first_of("[]/ ") == host.npos && (bracketed || host.find(':') == host.npos);
  int port = 0;
  const std::string digits = text.substr(colon == std::string::npos ? 0 : colon + 1);
  const bool port_ok = absl::SimpleAtoi(digits, &port) && port >= 0 && port <= 65535;
  if (!host_ok || !port_ok) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is no HOST:PORT, as 127.0.0.1:8080 or [::1]:8080"));
  }
  address = {std::string(host), port};
  return absl::OkStatus();
}

}  // namespace messaging::metrics
