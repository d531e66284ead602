#include "memory/log.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "absl/hash/hash.h"

namespace messaging::memory_internal {
namespace {

constexpr size_t kBlock = 64 << 10;
constexpr size_t kAlign = alignof(std::max_align_t);

std::string_view Put(std::string_view bytes, char*& at) {
  if (bytes.empty()) return {};
  std::memcpy(at, bytes.data(), bytes.size());
  return {std::exchange(at, at + bytes.size()), bytes.size()};
}

// One piece for all of a message: headers first, as they want alignment.
template <typename Headers>
Stored CopyParts(const Stored& views, const Headers& headers, Arena& arena) {
  const size_t count = std::size(headers);
  size_t bytes = count * sizeof(HeaderView) + views.payload.size() + views.key.size() + views.id.size() +
                 views.content_type.size();
  for (const auto& [name, value] : headers) bytes += name.size() + value.size();
  char* at = arena.Allocate(bytes);
  auto* copied = reinterpret_cast<HeaderView*>(at);
  at += count * sizeof(HeaderView);
  Stored stored = views;
  size_t i = 0;
  for (const auto& [name, value] : headers) {
    const std::string_view name_copy = Put(name, at);
    new (&copied[i++]) HeaderView{name_copy, Put(value, at)};
  }
  stored.headers = absl::MakeConstSpan(copied, count);
  stored.payload = Put(views.payload, at);
  stored.key = Put(views.key, at);
  stored.id = Put(views.id, at);
  stored.content_type = Put(views.content_type, at);
  return stored;
}

}  // namespace

char* Arena::Allocate(size_t bytes) {
  bytes = (bytes + kAlign - 1) / kAlign * kAlign;
  if (bytes > left_) {
    if (bytes > kBlock / 4) {  // A block of its own; what is left of the other stays in use.
      blocks_.push_back(std::make_unique_for_overwrite<char[]>(bytes));
      bytes_ += bytes;
      return blocks_.back().get();
    }
    // The first block is small: retries have an arena each.
    const size_t block = blocks_.empty() ? std::max<size_t>(bytes, 256) : kBlock;
    blocks_.push_back(std::make_unique_for_overwrite<char[]>(block));
    bytes_ += block;
    next_ = blocks_.back().get();
    left_ = block;
  }
  left_ -= bytes;
  return std::exchange(next_, next_ + bytes);
}

Stored Stored::Copy(const Message& message, Arena& arena) {
  Stored views;
  views.payload = message.payload;
  views.null_payload = message.null_payload;
  views.has_key = message.key.has_value();
  if (views.has_key) {
    views.key = *message.key;
    views.key_hash = absl::HashOf(views.key);
  }
  views.id = message.id;
  views.content_type = message.content_type;
  views.timestamp = message.timestamp;
  return CopyParts(views, message.headers, arena);
}

Stored Stored::Copy(const Stored& other, Arena& arena) { return CopyParts(other, other.headers, arena); }

Message Stored::ToMessage(std::string_view topic) const {
  Message message;
  message.topic = std::string(topic);
  message.payload = std::string(payload);
  message.null_payload = null_payload;
  if (has_key) message.key = std::string(key);
  for (const HeaderView& header : headers) message.headers.emplace_back(header.name, header.value);
  message.content_type = std::string(content_type);
  message.id = std::string(id);
  message.timestamp = timestamp;
  return message;
}

size_t Stored::ByteSize() const {
  size_t bytes = sizeof(Stored) + payload.size() + key.size() + id.size() + content_type.size();
  for (const HeaderView& header : headers) bytes += sizeof(HeaderView) + header.name.size() + header.value.size();
  return bytes;
}

int64_t TopicLog::Append(const Message& message) {
  if (end_ % Segment::kSize == 0) {
    segments_.push_back(std::make_shared<Segment>());
    if (segments_.size() > 1) segments_.back()->messages.reserve(Segment::kSize);
  }
  Segment& segment = *segments_.back();
  segment.messages.push_back(Stored::Copy(message, segment.arena));
  segment.bytes += segment.messages.back().ByteSize();
  return end_++;
}

size_t TopicLog::ForgetBefore(int64_t position) {
  if (segments_.empty() || begin_ + Segment::kSize > std::min(position, end_)) return 0;
  const size_t bytes = segments_.front()->bytes;
  segments_.pop_front();
  begin_ += Segment::kSize;
  return bytes;
}

}  // namespace messaging::memory_internal
