#include "cli/status_text.h"

#include "absl/strings/str_replace.h"

namespace messaging::cli {

std::string Text(const absl::Status& status) {
  if (status.message().empty()) return absl::StatusCodeToString(status.code());
  return absl::StrReplaceAll(status.message(), {{"\n", "; "}});
}

ExitCode ExitCodeFor(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
      return kConfiguration;
    default:
      return kFailed;
  }
}

}  // namespace messaging::cli
