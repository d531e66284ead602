// Any bytes as lines of `core send`, and as what `core` prints as JSON: the reader numbers lines and goes on, and a
// printed line is one JSON object, whatever was in it.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "cli/json_line.h"
#include "cli/ndjson_reader.h"
#include "nlohmann/json.hpp"

namespace {

void Read(std::string_view text) {
  size_t at = 0;
  messaging::cli::NdjsonReader reader(
      [&](char* to, size_t size) -> absl::StatusOr<size_t> {
        const size_t n = std::min({size, text.size() - at, size_t{7}});
        std::memcpy(to, text.data() + at, n);
        at += n;
        return n;
      },
      /*longest=*/1'000);
  int64_t last = 0;
  while (true) {
    const absl::StatusOr<std::optional<messaging::cli::NdjsonReader::Line>> line = reader.Next();
    if (!line.ok()) std::abort();
    if (!line->has_value()) break;
    if ((*line)->number <= last || (*line)->text.size() > 1'000) std::abort();
    last = (*line)->number;
  }
  if (reader.bytes_read() != static_cast<int64_t>(text.size())) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Read(text);
  messaging::cli::JsonLine line;
  const messaging::HeaderView header{text, text};
  line.Text("text", text).Headers({&header, 1}).Payload(text);
  const std::string printed = std::move(line).Finish();
  if (printed.find('\n') != printed.size() - 1 || !nlohmann::json::accept(printed)) std::abort();
  return 0;
}
