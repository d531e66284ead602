#include "messaging/testing/recording_tracer.h"

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

namespace messaging {

class RecordingTracer::Recording : public Span {
 public:
  Recording(RecordingTracer* tracer, RecordedSpan span) : tracer_(tracer), span_(std::move(span)) {}
  TraceContext context() const override { return span_.context; }
  void End(const absl::Status& status) override {
    span_.status = status;
    absl::MutexLock lock(&tracer_->mutex_);
    --tracer_->open_;
    tracer_->spans_.push_back(span_);
  }

 private:
  RecordingTracer* const tracer_;
  RecordedSpan span_;
};

std::unique_ptr<Span> RecordingTracer::StartSpan(const SpanStart& start) {
  RecordedSpan span{.kind = start.kind,
                    .name = std::string(start.name),
                    .context = start.parent != nullptr ? start.parent->Child() : TraceContext::NewTrace(),
                    .parent = start.parent != nullptr ? std::optional(*start.parent) : std::nullopt,
                    .links = {start.links.begin(), start.links.end()}};
  for (const SpanAttribute& attribute : start.attributes) {
    span.attributes[std::string(attribute.name)] =
        std::visit([](const auto& value) { return absl::StrCat(value); }, attribute.value);
  }
  absl::MutexLock lock(&mutex_);
  ++open_;
  return std::make_unique<Recording>(this, std::move(span));
}

std::vector<RecordedSpan> RecordingTracer::spans() const {
  absl::MutexLock lock(&mutex_);
  return spans_;
}

int RecordingTracer::open() const {
  absl::MutexLock lock(&mutex_);
  return open_;
}

}  // namespace messaging
