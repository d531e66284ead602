// A message as a broker's driver hands it over: views into the driver's own buffer. Drivers derive their own type from
// Record; handlers see it as Received (received.h).
#ifndef MESSAGING_RECORD_H_
#define MESSAGING_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "absl/time/time.h"
#include "absl/types/span.h"

namespace messaging {

// One header of a record; a name may come more than once.
struct HeaderView {
  std::string_view name;
  std::string_view value;
};

// Everything a view points at, and the Record itself, stays where it is until the record is settled (delivery.h).
struct Record {
  std::string_view topic;  // Where it was sent first: a retry or a replay still shows its original topic.
  std::string_view payload;
  std::string_view key;
  bool has_key = false;
  bool null_payload = false;
  int32_t partition = -1;  // -1 where the broker has none.
  int64_t position = -1;   // Offset, row number, ...: whatever identifies it in its topic and partition. -1: none.
  absl::Time timestamp = absl::InfinitePast();

  // Metadata. A driver that parses it lazily sets `load_metadata`; readers call LoadMetadata first, as Received does.
  std::string_view id;            // Empty for a foreign message that has none.
  std::string_view content_type;  // Empty: none declared.
  absl::Span<const HeaderView> headers;
  void (*load_metadata)(Record& record) = nullptr;

  // What the library wrote about earlier handling. Zero and empty for a message that comes for the first time.
  std::string_view handler;      // A retry or replay is for this handler alone. Empty: for each handler of the topic.
  int attempts = 0;              // Attempts that were started before this delivery and recorded, by `handler` ...
  std::string_view attempts_of;  // ... or, where that is empty, by the one that the last kBegin named.
  bool redelivered = false;      // It may have been seen before.
  bool suspect = false;  // Its last consumer ended uncleanly while it held this: handled alone, attempt recorded first.
  absl::Time not_before =
      absl::InfinitePast();  // What a kBegin said of the next attempt (strict order, after a release).
  absl::Time first_failure = absl::InfinitePast();
  std::string_view last_error;  // The failure that made this retry, as text.

  class RecordOwner* owner = nullptr;  // Who takes it back; set by the driver.
  size_t pinned_bytes = 0;             // What holding it keeps in memory; 0: the sum of its views.

  // Not for two threads at once: where several handlers share a message, before they are called.
  void LoadMetadata() {
    if (load_metadata != nullptr) std::exchange(load_metadata, nullptr)(*this);
  }

  size_t ByteSize() const {
    return pinned_bytes != 0 ? pinned_bytes : sizeof(Record) + payload.size() + key.size() + topic.size();
  }
};

// The driver's side of a record's life.
class RecordOwner {
 public:
  virtual ~RecordOwner() = default;
  // The record's holder dropped it without a verdict: give the message back to the broker, no attempt counted. Any
  // thread, also after the subscription was closed; never blocks.
  virtual void Drop(Record* record) = 0;
};

}  // namespace messaging

#endif  // MESSAGING_RECORD_H_
