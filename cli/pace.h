// So many a second, at most.
#ifndef CLI_PACE_H_
#define CLI_PACE_H_

#include <cstdint>
#include <functional>

#include "absl/time/time.h"
#include "cli/signals.h"

namespace messaging::cli {

class Pace {
 public:
  // `rate` a second, evenly, from now on; 0: as fast as it goes.
  Pace(double rate, const StopSignals& signals);

  // Until the n-th, from 0, is due; calls `meanwhile` some times a second while it waits. False: a signal has come.
  bool Await(int64_t n, const std::function<void()>& meanwhile = nullptr) const;

 private:
  const double rate_;
  const StopSignals& signals_;
  const absl::Time began_;
};

}  // namespace messaging::cli

#endif  // CLI_PACE_H_
