// Dead letters as lines of JSON: for programs, and, to the byte, for an export that is imported again.
#ifndef CLI_DEAD_LETTER_LINE_H_
#define CLI_DEAD_LETTER_LINE_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "messaging/broker/dead_letters.h"

namespace messaging::cli {

// For programs that read messages: "payload" is the JSON value where it is one.
std::string DeadLetterLine(const DeadLetter& letter);

// For ReadExportLine: what is UTF-8 as text, anything else as NAME_base64, times to the nanosecond.
std::string ExportLine(const DeadLetter& letter);
// InvalidArgument: says what is missing or wrong. Members that it does not know are ignored.
absl::StatusOr<DeadLetter> ReadExportLine(std::string_view line);

// "UNAVAILABLE: why"
std::string Why(const Failure& failure);

}  // namespace messaging::cli

#endif  // CLI_DEAD_LETTER_LINE_H_
