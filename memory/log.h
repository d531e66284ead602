// A topic's messages, each stored once: deliveries are views into it. No lock of its own.
#ifndef MEMORY_LOG_H_
#define MEMORY_LOG_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "messaging/message.h"
#include "messaging/record.h"

namespace messaging::memory_internal {

// Memory that is handed out in pieces and freed as a whole.
class Arena {
 public:
  char* Allocate(size_t bytes);  // Aligned for any type.
  size_t bytes() const { return bytes_; }

 private:
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* next_ = nullptr;
  size_t left_ = 0;
  size_t bytes_ = 0;
};

// A message in an arena.
struct Stored {
  std::string_view payload;
  std::string_view key;
  std::string_view id;
  std::string_view content_type;
  absl::Span<const HeaderView> headers;
  absl::Time timestamp;
  uint64_t key_hash = 0;
  bool has_key = false;
  bool null_payload = false;

  static Stored Copy(const Message& message, Arena& arena);
  static Stored Copy(const Stored& other, Arena& arena);
  Message ToMessage(std::string_view topic) const;
  // What it counts for: its bytes and what keeping them costs.
  size_t ByteSize() const;
};

// Up to kSize consecutive messages. Shared with those who hold deliveries of it.
struct Segment {
  static constexpr int64_t kSize = 1024;
  Arena arena;
  std::vector<Stored> messages;
  size_t bytes = 0;
};

class TopicLog {
 public:
  explicit TopicLog(std::string name) : name_(std::move(name)) {}
  const std::string& name() const { return name_; }

  // Returns its position: one more than the last one's.
  int64_t Append(const Message& message);
  int64_t begin() const { return begin_; }  // The first that is still kept; the start of a segment.
  int64_t end() const { return end_; }
  const Stored& At(int64_t position) const { return SegmentOf(position)->messages[position % Segment::kSize]; }
  const std::shared_ptr<Segment>& SegmentOf(int64_t position) const {
    return segments_[(position - begin_) / Segment::kSize];
  }
  // Forgets the first segment, if it is full and all before `position`. The bytes freed; 0: not forgotten.
  size_t ForgetBefore(int64_t position);

 private:
  const std::string name_;
  std::deque<std::shared_ptr<Segment>> segments_;
  int64_t begin_ = 0;
  int64_t end_ = 0;
};

}  // namespace messaging::memory_internal

#endif  // MEMORY_LOG_H_
