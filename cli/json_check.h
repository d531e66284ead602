// Whether bytes are JSON, without building its value.
#ifndef CLI_JSON_CHECK_H_
#define CLI_JSON_CHECK_H_

#include <string_view>

#include "absl/status/status.h"

namespace messaging::cli {

// OK for one JSON value in UTF-8, with blanks around it at most. Else InvalidArgument, one line that says where (in
// bytes, from 1) and why. Deep nesting costs heap, not stack.
absl::Status CheckJson(std::string_view text);

}  // namespace messaging::cli

#endif  // CLI_JSON_CHECK_H_
