#include "messaging/log_fields.h"

#include <optional>
#include <string>

#include "messaging/trace_context.h"

namespace messaging {

LogFields FieldsOf(const Received& received) {
  const std::optional<TraceContext> trace = TraceContextOf(received);
  return {.topic = std::string(received.topic()),
          .message_id = std::string(received.id()),
          .handler = std::string(received.handler()),
          .attempt = received.attempt(),
          .trace_id = trace ? trace->trace_id_hex() : ""};
}

}  // namespace messaging
