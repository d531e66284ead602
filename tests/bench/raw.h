// What the raw_BROKER programs have in common: the same work as the library's, by the C client alone (defs.bzl).
#ifndef TESTS_BENCH_RAW_H_
#define TESTS_BENCH_RAW_H_

#include <errno.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

inline void Check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
  std::exit(1);
}

// One line of JSON, as tools/internal/bench.py reads it.
inline void PrintLatency(std::vector<double> micros) {
  std::sort(micros.begin(), micros.end());
  std::printf("{\"p50_us\": %.1f, \"p99_us\": %.1f}\n", micros[micros.size() / 2], micros[micros.size() * 99 / 100]);
}

// Of a raw program over a server: what each mode does.
struct RawModes {
  void (*send)(const std::string& topic, int64_t messages);
  void (*consume)(const std::string& topic, int64_t messages);
  void (*latency)(const std::string& topic, int64_t messages);
  void (*drop)(const std::string& topic);  // So that what earlier repetitions left weighs nothing.
};

// PROGRAM send|consume|latency|drop TOPIC N: its exit code.
inline int RunRaw(int argc, char** argv, const RawModes& modes) {
  const std::string_view mode = argc == 4 ? argv[1] : "";
  const std::string topic = argc == 4 ? argv[2] : "";
  const int64_t n = argc == 4 ? std::atoll(argv[3]) : 0;
  if (mode == "send") {
    modes.send(topic, n);
  } else if (mode == "consume") {
    modes.consume(topic, n);
  } else if (mode == "latency") {
    modes.latency(topic, n);
  } else if (mode == "drop") {
    modes.drop(topic);
    std::printf("{}\n");
  } else {
    std::fprintf(stderr, "usage: %s send|consume|latency|drop TOPIC N\n", program_invocation_short_name);
    return 2;
  }
  return 0;
}

}  // namespace bench

#endif  // TESTS_BENCH_RAW_H_
