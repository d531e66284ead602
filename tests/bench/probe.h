// Where a measured program crosses into its broker's C library: a probe_BROKER.cc wraps that library's calls at link
// time (defs.bzl), so that the code that is measured is the code that ships.
#ifndef TESTS_BENCH_PROBE_H_
#define TESTS_BENCH_PROBE_H_

#include "absl/time/time.h"

namespace bench {

// For probes. The call that hands a message to the library begins; the one that brought some returns.
void NoteCall();
void NoteReturn();

// The next call from now on is the one that FirstCall tells.
void Arm();
absl::Time FirstCall();   // InfiniteFuture: there was none yet.
absl::Time LastReturn();  // InfinitePast: there was none yet.

}  // namespace bench

#endif  // TESTS_BENCH_PROBE_H_
