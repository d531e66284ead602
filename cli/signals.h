// SIGTERM and SIGINT: the first asks to stop, the second ends the process.
#ifndef CLI_SIGNALS_H_
#define CLI_SIGNALS_H_

namespace messaging::cli {

// While it lives the first of the two signals makes fd() readable for good, and the next one ends the process at once
// with exit code 128 + its number. One that comes within 20 ms of the first is taken for the same request, as
// timeout(1) and others signal both a process and its group. One at a time in a process.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();  // Gives the signals back to whom they belonged before.
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  int fd() const;
  int number() const;  // SIGTERM or SIGINT, whichever came first; 0: none did.
};

}  // namespace messaging::cli

#endif  // CLI_SIGNALS_H_
