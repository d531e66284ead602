// Protobuf's JSON mapping behind absl::Status: the one file that knows how its versions differ (3.21 has a status of
// its own, later ones Abseil's).
#ifndef MESSAGING_PROTOBUF_JSON_MAPPING_H_
#define MESSAGING_PROTOBUF_JSON_MAPPING_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace messaging::internal {

// InvalidArgument with protobuf's text. Unknown fields are ignored.
absl::Status FromJson(std::string_view json, google::protobuf::Message& out);
absl::Status ToJson(const google::protobuf::Message& message, std::string& out);

}  // namespace messaging::internal

#endif  // MESSAGING_PROTOBUF_JSON_MAPPING_H_
