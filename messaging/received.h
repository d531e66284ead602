// What a handler may know about the message it is called with, beyond its decoded body.
#ifndef MESSAGING_RECEIVED_H_
#define MESSAGING_RECEIVED_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "messaging/record.h"

namespace messaging {

// The metadata of one attempt at one message. All views are valid while the handler runs (for an asynchronous handler:
// until its completion is called). Not thread-safe while metadata is first asked for; handlers take it as
// `const Received&` anywhere after their message.
class Received {
 public:
  Received(Record* record, std::string_view group, std::string_view handler, int attempt, int max_attempts,
           absl::Time deadline)
      : record_(record),
        group_(group),
        handler_(handler),
        attempt_(attempt),
        max_attempts_(max_attempts),
        deadline_(deadline) {}

  std::string_view topic() const { return record_->topic; }
  std::string_view payload() const { return record_->payload; }
  bool null_payload() const { return record_->null_payload; }
  std::optional<std::string_view> key() const {
    return record_->has_key ? std::optional<std::string_view>(record_->key) : std::nullopt;
  }
  int32_t partition() const { return record_->partition; }
  int64_t position() const { return record_->position; }  // Offset or row number; -1 where there is none.
  absl::Time timestamp() const { return record_->timestamp; }

  std::string_view id() const { return Loaded().id; }
  // As declared by the sender; empty: not declared. For a codec: then what the handler's options say it is.
  std::string_view content_type() const {
    std::string_view declared = Loaded().content_type;
    return declared.empty() ? default_content_type_ : declared;
  }
  absl::Span<const HeaderView> headers() const { return Loaded().headers; }
  // The last header of that name, as later ones override earlier ones.
  std::optional<std::string_view> header(std::string_view name) const;

  std::string_view group() const { return group_; }
  std::string_view handler() const { return handler_; }
  int attempt() const { return attempt_; }            // 1 for the first.
  int max_attempts() const { return max_attempts_; }  // max_retries + 1.
  bool last_attempt() const { return attempt_ >= max_attempts_; }
  bool redelivered() const { return record_->redelivered; }
  absl::Time deadline() const { return deadline_; }  // When the handler's timeout ends; InfiniteFuture without one.

  // The same message, as if it had declared `type` where it declares none.
  Received WithDefaultContentType(std::string_view type) const {
    Received copy = *this;
    copy.default_content_type_ = type;
    return copy;
  }

 private:
  Record& Loaded() const {
    record_->LoadMetadata();
    return *record_;
  }

  Record* record_;
  std::string_view group_;
  std::string_view handler_;
  int attempt_;
  int max_attempts_;
  absl::Time deadline_;
  std::string_view default_content_type_;
};

}  // namespace messaging

#endif  // MESSAGING_RECEIVED_H_
