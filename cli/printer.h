// The handler of the bundled program: prints each message as a line of JSON.
#ifndef CLI_PRINTER_H_
#define CLI_PRINTER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/limits.h"
#include "cli/output.h"
#include "messaging/handler.h"

namespace messaging::cli {

struct PrinterHooks {
  std::function<void()> gone;      // Called once a line could not be printed, from any thread, perhaps more than once.
  std::function<bool()> draining;  // Whether the consumer gives back what a handler answers with Cancelled.
  std::shared_ptr<Limits> limits;  // How many are printed.
};

// A message is acknowledged only after all of its line was taken by `out`. When that fails, `gone` is called, and the
// messages in hand are given back as soon as the consumer drains: no attempt is counted. Messages are printed in the
// order in which they come.
Handler MakePrinter(std::vector<std::string> topics, Output& out, PrinterHooks hooks);

}  // namespace messaging::cli

#endif  // CLI_PRINTER_H_
