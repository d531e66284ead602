#include "messaging/log.h"

#include <cstdio>
#include <memory>
#include <string>

#include "absl/base/const_init.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace messaging {
namespace {

using Sink = std::function<void(Severity, std::string_view)>;
ABSL_CONST_INIT absl::Mutex mutex(absl::kConstInit);
std::shared_ptr<const Sink>& GlobalSink() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
  static auto* const sink = new std::shared_ptr<const Sink>;
  return *sink;
}

}  // namespace

void SetLogSink(std::function<void(Severity, std::string_view)> sink) {
  absl::MutexLock lock(&mutex);
  GlobalSink() = sink ? std::make_shared<const Sink>(std::move(sink)) : nullptr;
}

void Log(Severity severity, std::string_view line) {
  std::shared_ptr<const Sink> sink;
  {
    absl::MutexLock lock(&mutex);
    sink = GlobalSink();
  }
  if (sink != nullptr) return (*sink)(severity, line);
  if (severity == Severity::kInfo) return;
  std::string text = severity == Severity::kWarning ? "warning: " : "error: ";
  text.append(line).append("\n");
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace messaging
