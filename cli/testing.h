// For tests: runs the command line in this process, with standard streams of its own.
#ifndef CLI_TESTING_H_
#define CLI_TESTING_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/context.h"
#include "messaging/client.h"

namespace messaging::cli {

struct Result {
  int code = -1;
  std::string out;
  std::string err;
};

// What a test may do while a command runs: both streams' text so far.
using Meanwhile = std::function<void(const std::function<std::string()>& out, const std::function<std::string()>& err)>;

// "core" with `arguments` and `input` on standard input. `meanwhile` runs on a thread of its own. Shuts the default
// client down afterwards.
Result RunCore(std::vector<std::string> arguments, const std::string& input = "", const Meanwhile& meanwhile = nullptr);

// The same over descriptors that the caller owns.
int RunCoreOver(std::vector<std::string> arguments, int in, int out, int err);

// Signals the thread that runs a command. To the process it could reach any thread, and ThreadSanitizer keeps a signal
// from a handler for as long as its thread waits in a futex.
void SignalCore(int number);

// Until `text` holds `part`; false after a minute.
bool AwaitText(const std::function<std::string()>& text, const std::string& part);

// Keeps what is at `url` (memory://NAME) from one command to the next, and sends to it.
std::unique_ptr<Client> Keep(const std::string& url);

}  // namespace messaging::cli

#endif  // CLI_TESTING_H_
