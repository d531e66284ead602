// Where the library's own lines go. One line a change of state, none a message; what happens again and again is told
// once, then with how often, now and then. Binaries route them to glog (cli does, as text or JSON).
//
// A handler's own lines get at the message they are about by FieldsOf (log_fields.h):
//   LOG(INFO) << "charged " << FieldsOf(received);
#ifndef MESSAGING_LOG_H_
#define MESSAGING_LOG_H_

#include <cstddef>
#include <functional>
#include <ostream>
#include <string>
#include <string_view>

namespace messaging {

// kWarning: it goes on, but somebody should look. kError: something was given up.
enum class Severity { kInfo, kWarning, kError };

// Which message, or what else, a line is about. Empty, or zero: not said.
struct LogFields {
  std::string topic;
  std::string message_id;
  std::string handler;
  int attempt = 0;
  std::string trace_id;
};
// "topic=orders message=01J... handler=Charge attempt=2 trace=4bf92f..."; bytes that do not print are escaped.
std::string ToText(const LogFields& fields);
std::ostream& operator<<(std::ostream& out, const LogFields& fields);

// What a sink is given.
struct LogLine {
  Severity severity = Severity::kInfo;
  std::string_view text;
  const LogFields* fields = nullptr;  // Null: about no message.
};

// Thread-safe. Without a sink, warnings and errors go to standard error and infos nowhere.
void Log(Severity severity, std::string_view line);
void Log(Severity severity, std::string_view line, const LogFields& fields);
void SetLogSink(std::function<void(const LogLine&)> sink);
// The same for a sink that takes text alone: the fields stand at its end.
void SetLogSink(std::function<void(Severity, std::string_view)> sink);
void SetLogSink(std::nullptr_t);

}  // namespace messaging

#endif  // MESSAGING_LOG_H_
