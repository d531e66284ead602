#include "rabbitmq/notes.h"

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "messaging/log.h"

namespace messaging::rabbitmq {
namespace {

// A note's first byte.
constexpr char kBegin = 'b';    // identity, "attempts not_before_in_microseconds handler"
constexpr char kRelease = 'r';  // identities, each with its number of deliveries in 4 bytes, the highest first
constexpr char kMarker = 'm';   // "member number"
constexpr size_t kIdentity = 16;
constexpr size_t kCount = 4;
constexpr size_t kMostReleased = 1'000;  // In one note.
constexpr size_t kMostNotes = 500'000;   // Remembered. Older ones are of messages long done.
constexpr int kPrefetch = 500;
constexpr char kTag[] = "notes";

}  // namespace

// Over a lost connection, too: twice the same note does no harm. A stream that is being made ends the connections that
// use it.
void Notes::Write(std::shared_ptr<const std::string> body, Done done) {
  Copier::Job job{.place = stream_, .message = Encoded::Plain(*body)};
  job.done = [this, body, done = std::move(done)](const absl::Status& status) mutable {
    if (status.code() == absl::StatusCode::kUnavailable) return Write(std::move(body), std::move(done));
    done(status);
  };
  copier_.Publish(std::move(job));
}

void Notes::Begin(const std::string& identity, int attempts, absl::Time not_before, std::string_view handler,
                  Done done) {
  const int64_t when = not_before == absl::InfinitePast() ? 0 : absl::ToUnixMicros(not_before);
  Write(std::make_shared<std::string>(
            absl::StrCat(std::string_view(&kBegin, 1), identity, attempts, " ", when, " ", handler)),
        std::move(done));
}

void Notes::Release(const std::vector<Released>& messages, Done done) {
  for (size_t from = 0; from < messages.size(); from += kMostReleased) {
    const size_t to = std::min(messages.size(), from + kMostReleased);
    std::string body(1, kRelease);
    for (size_t i = from; i < to; ++i) {
      body += messages[i].identity;
      for (int shift = 24; shift >= 0; shift -= 8) body += static_cast<char>(messages[i].deliveries >> shift);
    }
    // They are confirmed in their order, near enough: the last answers for all.
    Write(
        std::make_shared<std::string>(std::move(body)),
        to == messages.size() ? std::move(done) : [](const absl::Status&) {});
  }
}

bool Notes::Catch(absl::Time now, int channel) {
  bool asked = false;
  if (channel_ == nullptr && copier_.connection() != nullptr) {
    channel_ = std::make_unique<Channel>(*copier_.connection(), channel);
  }
  if (channel_ != nullptr && !channel_->open()) {
    asked = true;
    channel_->Open();
    channel_->DeclareQueue(stream_, /*passive=*/false, [this](const absl::Status& status, QueueFigures) {
      if (!status.ok()) {
        failed_ = true;
        Log(Severity::kWarning, absl::StrCat("what is redelivered is taken for what a crash left behind: the stream ",
                                             stream_.name, " cannot be read: ", status.message()));
      }
    });
    QueueSpec from{.arguments = {{"x-stream-offset", std::string("first")}}};
    Arguments arguments(from);
    channel_->Consume(stream_.name, kTag, kPrefetch, arguments.table(), nullptr);
  }
  if (marking_) return asked;
  marking_ = true;
  marked_ = now;
  Write(std::make_shared<std::string>(absl::StrCat(std::string_view(&kMarker, 1), member_, " ", ++marker_)),
        [this](const absl::Status& status) {
          if (!status.ok()) marking_ = false;
        });
  return true;
}

void Notes::OnFrame(const amqp_frame_t& frame) {
  if (frame.frame_type == AMQP_FRAME_METHOD) {
    if (channel_->OnMethod(frame.payload.method)) return;
    if (frame.payload.method.id == AMQP_BASIC_DELIVER_METHOD) {
      tag_ = static_cast<const amqp_basic_deliver_t*>(frame.payload.method.decoded)->delivery_tag;
    } else if (frame.payload.method.id == AMQP_BASIC_CANCEL_METHOD) {
      channel_->Close(nullptr);  // The stream is gone: it is made again when it is needed.
    }
    return;
  }
  if (frame.frame_type == AMQP_FRAME_HEADER) {
    left_ = frame.payload.properties.body_size;
    body_.clear();
  } else {
    const std::string_view part = View(frame.payload.body_fragment);
    body_ += part;
    left_ -= std::min<uint64_t>(left_, part.size());
  }
  if (left_ > 0) return;
  Read(body_);
  channel_->Ack(tag_, /*multiple=*/false);
}

void Notes::Read(std::string_view body) {
  if (body.empty()) return;
  const char kind = body[0];
  body.remove_prefix(1);
  if (kind == kMarker) {
    if (body != absl::StrCat(member_, " ", marker_)) return;
    marking_ = false;
    caught_ = marked_;
  } else if (kind == kBegin && body.size() > kIdentity) {
    const std::vector<std::string_view> parts = absl::StrSplit(body.substr(kIdentity), absl::MaxSplits(' ', 2));
    int attempts = 0;
    int64_t not_before = 0;
    if (parts.size() != 3 || !absl::SimpleAtoi(parts[0], &attempts) || !absl::SimpleAtoi(parts[1], &not_before)) return;
    At(body.substr(0, kIdentity)) = {
        .attempts = attempts,
        .handler = std::string(parts[2]),
        .not_before = not_before == 0 ? absl::InfinitePast() : absl::FromUnixMicros(not_before)};
  } else if (kind == kRelease) {
    for (; body.size() >= kIdentity + kCount; body.remove_prefix(kIdentity + kCount)) {
      int64_t count = 0;
      for (const char c : body.substr(kIdentity, kCount)) count = count << 8 | static_cast<unsigned char>(c);
      At(body.substr(0, kIdentity)).released_at = count;
    }
  }
}

Note& Notes::At(std::string_view identity) {
  if (notes_.size() >= kMostNotes) notes_.clear();
  return notes_[std::string(identity)];
}

const Note* Notes::Find(const std::string& identity) const {
  const auto found = notes_.find(identity);
  return found == notes_.end() ? nullptr : &found->second;
}

void Notes::Detach() {
  channel_.reset();
  failed_ = false;
  marking_ = false;  // Nobody would connect for a marker that is written already.
  notes_.clear();    // All of it is read again.
}

}  // namespace messaging::rabbitmq
