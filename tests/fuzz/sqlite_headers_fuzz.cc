// Any bytes in a row's headers: read as far as they are what was written, and what was written comes back.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "messaging/message.h"
#include "messaging/record.h"
#include "sqlite/store.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<messaging::HeaderView> views;
  if (!messaging::sqlite::DecodeHeaders(text, views)) return 0;
  std::vector<messaging::Header> headers;
  for (const messaging::HeaderView& view : views) headers.emplace_back(view.name, view.value);
  const std::string written = messaging::sqlite::EncodeHeaders(headers);
  std::vector<messaging::HeaderView> again;
  if (!messaging::sqlite::DecodeHeaders(written, again) || again.size() != headers.size()) std::abort();
  for (size_t i = 0; i < again.size(); ++i) {
    if (again[i].name != headers[i].first || again[i].value != headers[i].second) std::abort();
  }
  return 0;
}
