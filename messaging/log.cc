#include "messaging/log.h"

#include <cstdio>
#include <memory>
#include <utility>

#include "absl/base/const_init.h"
#include "absl/base/thread_annotations.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace messaging {
namespace {

using Sink = std::function<void(const LogLine&)>;
ABSL_CONST_INIT absl::Mutex mutex(absl::kConstInit);
std::shared_ptr<const Sink>& GlobalSink() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
  static auto* const sink = new std::shared_ptr<const Sink>;
  return *sink;
}

void Add(std::string& text, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  const std::string escaped = absl::CHexEscape(value);
  const char* const quote = escaped.find_first_of(" =") == escaped.npos ? "" : "\"";
  absl::StrAppend(&text, text.empty() ? "" : " ", name, "=", quote, escaped, quote);
}

std::string WithFields(const LogLine& line) {
  if (line.fields == nullptr) return std::string(line.text);
  const std::string fields = ToText(*line.fields);
  return fields.empty() ? std::string(line.text) : absl::StrCat(line.text, " [", fields, "]");
}

void Give(const LogLine& line) {
  std::shared_ptr<const Sink> sink;
  {
    absl::MutexLock lock(&mutex);
    sink = GlobalSink();
  }
  if (sink != nullptr) return (*sink)(line);
  if (line.severity == Severity::kInfo) return;
  const std::string text =
      absl::StrCat(line.severity == Severity::kWarning ? "warning: " : "error: ", WithFields(line), "\n");
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace

std::string ToText(const LogFields& fields) {
  std::string text;
  Add(text, "topic", fields.topic);
  Add(text, "message", fields.message_id);
  Add(text, "handler", fields.handler);
  if (fields.attempt > 0) Add(text, "attempt", absl::StrCat(fields.attempt));
  Add(text, "trace", fields.trace_id);
  return text;
}

std::ostream& operator<<(std::ostream& out, const LogFields& fields) { return out << ToText(fields); }

void SetLogSink(std::function<void(const LogLine&)> sink) {
  absl::MutexLock lock(&mutex);
  GlobalSink() = sink ? std::make_shared<const Sink>(std::move(sink)) : nullptr;
}

void SetLogSink(std::function<void(Severity, std::string_view)> sink) {
  if (!sink) return SetLogSink(nullptr);
  SetLogSink([sink = std::move(sink)](const LogLine& line) { sink(line.severity, WithFields(line)); });
}

void SetLogSink(std::nullptr_t) { SetLogSink(std::function<void(const LogLine&)>()); }

void Log(Severity severity, std::string_view line) { Give({.severity = severity, .text = line}); }
void Log(Severity severity, std::string_view line, const LogFields& fields) {
  Give({.severity = severity, .text = line, .fields = &fields});
}

}  // namespace messaging
