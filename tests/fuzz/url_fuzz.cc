// Any bytes as a URL: parsed or refused, and a password is in neither the redacted form nor the error.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "messaging/broker/url.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<messaging::Url> url = messaging::Url::Parse(text);
  if (url.ok()) {
    (void)url->FilePath();
    (void)url->Redacted();
  }
  // With a password of ours in front of whatever this is.
  const std::string secret = absl::StrCat("redis://u:C4n4ryS3cret@", text);
  const absl::StatusOr<messaging::Url> with = messaging::Url::Parse(secret);
  const std::string shown = with.ok() ? with->Redacted() : std::string(with.status().message());
  if (shown.find("C4n4ryS3cret") != std::string::npos) std::abort();
  return 0;
}
