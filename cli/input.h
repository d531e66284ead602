// Where lines come from: a file, or standard input.
#ifndef CLI_INPUT_H_
#define CLI_INPUT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "cli/ndjson_reader.h"

namespace messaging::cli {

struct Input {
  ByteSource source;
  std::string name;         // "orders.ndjson", "standard input": for messages.
  int64_t total_bytes = 0;  // 0: not known.
};

// `file` "" or "-": standard input, the descriptor `standard_input`. Reading ends with Cancelled once `stop_fd` is
// readable. NotFound, naming the file: it cannot be read.
absl::StatusOr<Input> OpenInput(const std::string& file, int standard_input, int stop_fd);

}  // namespace messaging::cli

#endif  // CLI_INPUT_H_
