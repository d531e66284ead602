// A type with a codec of its own, for cases about messages that do not decode, so that the suite needs no JSON.
#ifndef TESTS_CONFORMANCE_NOTE_H_
#define TESTS_CONFORMANCE_NOTE_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "messaging/codec.h"
#include "messaging/message.h"
#include "messaging/received.h"

namespace messaging::conformance {

inline constexpr std::string_view kNoteType = "text/x-note";

// On the wire: "note:" and the text.
struct Note {
  std::string text;
};

inline absl::Status CheckNote(const Note& note) {
  return note.text.empty() ? absl::InvalidArgumentError("an empty note") : absl::OkStatus();
}

}  // namespace messaging::conformance

namespace messaging {

template <>
struct Codec<conformance::Note> {
  static constexpr std::string_view kContentType = conformance::kNoteType;
  static absl::Status Decode(const Received& received, conformance::Note& out) {
    if (!received.content_type().empty() && received.content_type() != kContentType) {
      return absl::UnimplementedError(absl::StrCat("unknown content type ", received.content_type()));
    }
    if (!absl::StartsWith(received.payload(), "note:")) return absl::InternalError("not a note");
    out.text = std::string(received.payload().substr(5));
    return absl::OkStatus();
  }
  static absl::Status Encode(const conformance::Note& note, Message& out) {
    out.payload = absl::StrCat("note:", note.text);
    out.content_type = std::string(kContentType);
    return absl::OkStatus();
  }
};

}  // namespace messaging

#endif  // TESTS_CONFORMANCE_NOTE_H_
