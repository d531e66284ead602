// SIGUSR1 pauses the consumer, SIGUSR2 lets it go on.
#ifndef CLI_PAUSE_SIGNALS_H_
#define CLI_PAUSE_SIGNALS_H_

#include <optional>

namespace messaging::cli {

// While it lives the two signals make fd() readable, until Take; without it they would end the process. One at a time
// in a process.
class PauseSignals {
 public:
  PauseSignals();
  ~PauseSignals();  // Gives the signals back to whom they belonged before.
  PauseSignals(const PauseSignals&) = delete;
  PauseSignals& operator=(const PauseSignals&) = delete;

  int fd() const;
  // What came last since the last call: true: pause; nothing: none came.
  std::optional<bool> Take();
};

}  // namespace messaging::cli

#endif  // CLI_PAUSE_SIGNALS_H_
