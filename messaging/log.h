// Where the library's own lines go. One line a change of state, none a message. Binaries route them to glog (cli does).
#ifndef MESSAGING_LOG_H_
#define MESSAGING_LOG_H_

#include <functional>
#include <string_view>

namespace messaging {

// kWarning: it goes on, but somebody should look. kError: something was given up.
enum class Severity { kInfo, kWarning, kError };

// Thread-safe. Without a sink, warnings and errors go to standard error and infos nowhere.
void Log(Severity severity, std::string_view line);
void SetLogSink(std::function<void(Severity, std::string_view)> sink);

}  // namespace messaging

#endif  // MESSAGING_LOG_H_
