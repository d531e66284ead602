// A hook for a tracer: implement two small classes over OpenTelemetry, or any other, and give the tracer to
// ClientOptions::tracer. Without one nothing is done, and messages' contexts are passed on as they came.
//
// Each send is a span of kind kProducer, from Send until it is resolved; its context goes into the message's headers.
// Each call of a handler is one of kind kConsumer: below the message's context for one message, linked to each
// message's for a batch; each attempt is a span of its own. Names and attributes are OpenTelemetry's for messaging:
// "send orders", "process orders"; messaging.system, messaging.destination.name, ...
#ifndef MESSAGING_TRACER_H_
#define MESSAGING_TRACER_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "messaging/trace_context.h"

namespace messaging {

enum class SpanKind { kProducer, kConsumer };  // A send; a call of a handler.

// Named as OpenTelemetry does.
struct SpanAttribute {
  std::string_view name;
  std::variant<std::string_view, int64_t> value;
};

// Views are valid during StartSpan.
struct SpanStart {
  SpanKind kind = SpanKind::kProducer;
  std::string_view name;
  const TraceContext* parent = nullptr;  // Null: a new trace, or whatever the tracer finds on this thread.
  absl::Span<const TraceContext> links;
  absl::Span<const SpanAttribute> attributes;
};

// Used by one thread at a time, and ended on any.
class Span {
 public:
  virtual ~Span() = default;
  virtual TraceContext context() const = 0;
  // Around the handler's call, on its thread: for tracers that know the current span of a thread.
  virtual void Enter() {}
  virtual void Leave() {}
  // Once, at last. Not OK: why it failed; a send whose outcome is unknown has DeadlineExceeded.
  virtual void End(const absl::Status& status) = 0;
};

// Thread-safe; must not block.
class Tracer {
 public:
  virtual ~Tracer() = default;
  virtual std::unique_ptr<Span> StartSpan(const SpanStart& start) = 0;  // Null: this one is not traced.
};

}  // namespace messaging

#endif  // MESSAGING_TRACER_H_
