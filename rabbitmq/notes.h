// What a group remembers of messages that its queue cannot remember: which attempts began, and what was given back by
// members that live. A stream of small notes, written seldom, that every member can read from its beginning.
//
// A queue delivers a message again after a release as after a crash; only a note tells them apart. Identities are 16
// bytes (IdentityOf). The loop's thread alone may use it.
#ifndef RABBITMQ_NOTES_H_
#define RABBITMQ_NOTES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "rabbitmq/channel.h"
#include "rabbitmq/copier.h"

namespace messaging::rabbitmq {

// Of one message.
struct Note {
  int64_t released_at = -1;  // Given back when it had been delivered so many times before; -1: never.
  int attempts = 0;          // That began, of this handler.
  std::string handler;
  absl::Time not_before = absl::InfinitePast();
};

// Given back, by its identity.
struct Released {
  std::string identity;
  uint32_t deliveries = 0;
};

class Notes {
 public:
  using Done = std::function<void(const absl::Status&)>;

  Notes(QueueSpec stream, std::string member, Copier& copier)
      : stream_(std::move(stream)), member_(std::move(member)), copier_(copier) {}

  // Written durably when done says OK.
  void Begin(const std::string& identity, int attempts, absl::Time not_before, std::string_view handler, Done done);
  void Release(const std::vector<Released>& messages, Done done);

  // Reads what was written before `now`; caught_up(now) says when that is done. Several calls are one reading. True: it
  // has asked for something just now.
  bool Catch(absl::Time now, int channel);
  bool caught_up(absl::Time since) const { return failed_ || caught_ >= since; }
  // Null: there is none. Knows what was read.
  const Note* Find(const std::string& identity) const;

  bool IsChannel(int number) const { return channel_ != nullptr && channel_->number() == number; }
  void OnFrame(const amqp_frame_t& frame);
  absl::Time overdue_at() const { return channel_ == nullptr ? absl::InfiniteFuture() : channel_->overdue_at(); }
  void Detach();  // The copier's connection is gone.

 private:
  void Write(std::shared_ptr<const std::string> body, Done done);
  void Read(std::string_view body);
  Note& At(std::string_view identity);

  const QueueSpec stream_;
  const std::string member_;
  Copier& copier_;
  std::unique_ptr<Channel> channel_;
  uint64_t tag_ = 0;
  uint64_t left_ = 0;  // Of the body that comes.
  std::string body_;
  absl::flat_hash_map<std::string, Note> notes_;
  int64_t marker_ = 0;
  absl::Time marked_ = absl::InfinitePast();  // When the marker that is on its way was asked for.
  bool marking_ = false;
  bool failed_ = false;  // It cannot be read: nothing is known.
  absl::Time caught_ = absl::InfinitePast();
};

}  // namespace messaging::rabbitmq

#endif  // RABBITMQ_NOTES_H_
