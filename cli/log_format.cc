#include "cli/log_format.h"

#include <unistd.h>

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "glog/logging.h"
#include "nlohmann/json.hpp"

namespace messaging::cli {
namespace {

// What glog is being given by this thread at the moment, as it takes text alone.
thread_local const LogLine* current = nullptr;

class JsonSink : public google::LogSink {
 public:
  using google::LogSink::send;
  void send(google::LogSeverity severity, const char*, const char*, int, const google::LogMessageTime&,
            const char* message, size_t length) override {
    constexpr const char* kNames[] = {"info", "warning", "error", "fatal"};
    const bool ours = current != nullptr;
    const std::string line =
        LogLineAsJson(absl::Now(), kNames[severity], ours ? current->text : std::string_view(message, length),
                      ours ? current->fields : nullptr);
    (void)!write(STDERR_FILENO, line.data(), line.size());
  }
};

bool as_json = false;

void LogToGlog(const LogLine& line) {
  constexpr google::LogSeverity kSeverities[] = {google::GLOG_INFO, google::GLOG_WARNING, google::GLOG_ERROR};
  const LogLine* const outer = current;
  current = &line;
  {
    google::LogMessage message("messaging", 0, kSeverities[static_cast<int>(line.severity)]);
    message.stream() << line.text;
    if (line.fields != nullptr) message.stream() << " [" << *line.fields << "]";
  }
  current = outer;
}

}  // namespace

std::string LogLineAsJson(absl::Time time, std::string_view severity, std::string_view message,
                          const LogFields* fields) {
  nlohmann::ordered_json line = {{"time", absl::FormatTime("%Y-%m-%d%ET%H:%M:%E6SZ", time, absl::UTCTimeZone())},
                                 {"severity", severity},
                                 {"message", message}};
  if (fields != nullptr) {
    const auto add = [&line](const char* name, const std::string& value) {
      if (!value.empty()) line[name] = value;
    };
    add("topic", fields->topic);
    add("message_id", fields->message_id);
    add("handler", fields->handler);
    if (fields->attempt > 0) line["attempt"] = fields->attempt;
    add("trace_id", fields->trace_id);
  }
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

void StartLogging(const char* program) {
  if (!google::IsGoogleLoggingInitialized()) {
    FLAGS_logtostderr = true;
    google::InitGoogleLogging(program);
  }
  SetLogSink(LogToGlog);
}

void SetLogFormat(LogFormat format) {
  if ((format == LogFormat::kJson) == as_json) return;
  static JsonSink* const sink = new JsonSink;  // glog may use it until the end.
  as_json = format == LogFormat::kJson;
  if (as_json) {
    google::AddLogSink(sink);
    for (const google::LogSeverity severity :
         {google::GLOG_INFO, google::GLOG_WARNING, google::GLOG_ERROR, google::GLOG_FATAL}) {
      google::SetLogDestination(severity, "");  // No files.
    }
  } else {
    google::RemoveLogSink(sink);
  }
  FLAGS_logtostderr = !as_json;
  FLAGS_stderrthreshold = as_json ? google::NUM_SEVERITIES : google::GLOG_ERROR;
}

}  // namespace messaging::cli
