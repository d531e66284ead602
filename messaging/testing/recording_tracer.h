// A tracer for tests: keeps the spans that ended.
#ifndef MESSAGING_TESTING_RECORDING_TRACER_H_
#define MESSAGING_TESTING_RECORDING_TRACER_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "messaging/trace_context.h"
#include "messaging/tracer.h"

namespace messaging {

struct RecordedSpan {
  SpanKind kind = SpanKind::kProducer;
  std::string name;
  TraceContext context;
  std::optional<TraceContext> parent;
  std::vector<TraceContext> links;
  std::map<std::string, std::string> attributes;  // Numbers as text.
  absl::Status status;
};

// Thread-safe. Outlives what it traces.
class RecordingTracer : public Tracer {
 public:
  std::unique_ptr<Span> StartSpan(const SpanStart& start) override;
  std::vector<RecordedSpan> spans() const;  // In the order in which they ended.
  int open() const;                         // Started and not ended.

 private:
  class Recording;
  mutable absl::Mutex mutex_;
  std::vector<RecordedSpan> spans_ ABSL_GUARDED_BY(mutex_);
  int open_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace messaging

#endif  // MESSAGING_TESTING_RECORDING_TRACER_H_
