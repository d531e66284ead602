#include "cli/printer.h"

#include <limits>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/json_line.h"
#include "messaging/call.h"

namespace messaging::cli {

Handler MakePrinter(std::vector<std::string> topics, Output& out, PrinterHooks hooks) {
  Handler printer;
  printer.name = "print";
  printer.options.name = printer.name;
  printer.options.topics = std::move(topics);
  printer.options.concurrency = 1;
  // Only what is not printable by no fault of the message fails: it is never given up.
  printer.options.max_retries = std::numeric_limits<int>::max() - 1;
  printer.options.permanent = {};
  printer.message_type = "bytes";
  printer.invoke = [&out, hooks = std::move(hooks)](Call& call) {
    for (size_t i = 0; i < call.messages().size(); ++i) {
      if (!hooks.limits->Begin(hooks.draining)) {
        call.SetOutcome(i, absl::CancelledError("as many messages as were asked for"));
        continue;
      }
      const absl::Status printed = out.Write(MessageLine(call.messages()[i]));
      hooks.limits->End(printed.ok());
      if (!printed.ok()) {
        hooks.gone();
        // A failure before the drain began would be a failed attempt and a retry; in it, it is given back as it was.
        while (!hooks.draining()) absl::SleepFor(absl::Milliseconds(1));
      }
      call.SetOutcome(i, printed.ok() ? printed : absl::CancelledError(printed.message()));
    }
  };
  return printer;
}

}  // namespace messaging::cli
