// How a program's log looks: glog's own lines, or one JSON object a line.
#ifndef CLI_LOG_FORMAT_H_
#define CLI_LOG_FORMAT_H_

#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "messaging/log.h"

namespace messaging::cli {

enum class LogFormat { kText, kJson };

// Starts glog to standard error for `program`, unless it runs already, and sends the library's lines through it.
void StartLogging(const char* program);
// From now on; kJson: of all lines, the program's own LOG(INFO) too, which then go to standard error alone.
void SetLogFormat(LogFormat format);

// {"time":"2026-11-25T01:02:03.000004Z","severity":"warning","message":"...","topic":"orders",...}, with a line's end.
// Bytes that are no UTF-8 are replaced.
std::string LogLineAsJson(absl::Time time, std::string_view severity, std::string_view message,
                          const LogFields* fields);

}  // namespace messaging::cli

#endif  // CLI_LOG_FORMAT_H_
