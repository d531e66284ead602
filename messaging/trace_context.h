// W3C trace context: which trace a message belongs to, and which span of it has sent it. Travels in the headers
// `traceparent` and `tracestate`, which any broker carries and others' programs read.
//
// A message's context stays with it through retries and dead letters; sends made in its handler carry it on. Without a
// tracer (tracer.h) it is passed on as it came; with one, each send and each call is a span of its own.
#ifndef MESSAGING_TRACE_CONTEXT_H_
#define MESSAGING_TRACE_CONTEXT_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "messaging/message.h"
#include "messaging/received.h"

namespace messaging {

// A span of a trace.
struct TraceContext {
  std::array<uint8_t, 16> trace_id = {};
  std::array<uint8_t, 8> span_id = {};
  bool sampled = false;
  std::string state;  // Others' entries, as tracestate has them; empty: none.

  // Of the headers' values. Nothing where `traceparent` is not valid; a `tracestate` that is not is left out. Versions
  // to come are read as far as version 00 goes. More than one tracestate: joined in their order.
  static std::optional<TraceContext> Parse(std::string_view traceparent,
                                           absl::Span<const std::string_view> tracestates = {});
  // A trace that begins here; a span below this one in the same trace. Random ids.
  static TraceContext NewTrace(bool sampled = true);
  TraceContext Child() const;

  bool operator==(const TraceContext&) const = default;
  std::string traceparent() const;  // Version 00.
  std::string trace_id_hex() const;
  std::string span_id_hex() const;
};

// A message's. Nothing where it has none, an invalid one, or two.
std::optional<TraceContext> TraceContextOf(const Received& received);
std::optional<TraceContext> TraceContextOf(const std::vector<Header>& headers);
// In place of what they have.
void SetTraceContext(const TraceContext& context, std::vector<Header>& headers);

}  // namespace messaging

#endif  // MESSAGING_TRACE_CONTEXT_H_
