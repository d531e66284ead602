#include "rabbitmq/publisher.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace messaging::rabbitmq {
namespace {

constexpr int kMessages = 1;
constexpr int kPlaces = 2;
constexpr size_t kFrameOverhead = 512;

size_t HashOf(std::string_view routing_key, std::string_view id) { return absl::HashOf(routing_key, id); }

}  // namespace

void Publisher::Attach(std::unique_ptr<Connection> connection) {
  connection_ = std::move(connection);
  connection_->on_frame = [this](const amqp_frame_t& frame) { OnFrame(frame); };
  messages_ = std::make_unique<Channel>(*connection_, kMessages);
  places_ = std::make_unique<Channel>(*connection_, kPlaces);
  messages_->on_closed = [this](const absl::Status& why) {
    OpenMessages();
    owner_.OnRefused(why);
  };
  OpenMessages();
}

void Publisher::OpenMessages() {
  first_ += slots_.size();
  slots_.clear();
  base_ = first_ - 1;
  returning_ = false;
  messages_->Open();
  amqp_confirm_select_t select = {};
  messages_->Ask(AMQP_CONFIRM_SELECT_METHOD, &select, [](const absl::Status&, const amqp_method_t*) {});
}

void Publisher::Detach() {
  places_.reset();
  messages_.reset();
  connection_.reset();
  first_ += slots_.size();
  slots_.clear();
}

uint64_t Publisher::Publish(std::string_view exchange, std::string_view routing_key, Encoded& message) {
  const amqp_basic_properties_t& properties = message.properties();
  const auto frame = static_cast<size_t>(amqp_get_frame_max(connection_->state()));
  if (message.properties_size() + kFrameOverhead > frame) return 0;
  amqp_basic_publish(connection_->state(), kMessages, Bytes(exchange), Bytes(routing_key), /*mandatory=*/1,
                     /*immediate=*/0, &properties, Bytes(message.body));
  slots_.push_back({.hash = HashOf(routing_key, message.id())});
  return first_ + slots_.size() - 1;
}

void Publisher::DeclareExchange(const std::string& name, Channel::Done done) {
  if (!places_->open()) places_->Open();
  places_->DeclareExchange(name, std::move(done));
}

void Publisher::Declare(const QueueSpec& spec, Channel::Done done) {
  if (!places_->open()) places_->Open();
  places_->DeclareQueue(spec, /*passive=*/false,
                        [done = std::move(done)](const absl::Status& status, QueueFigures) { done(status); });
}

void Publisher::OnFrame(const amqp_frame_t& frame) {
  if (frame.channel == kMessages) return OnMessageFrame(frame);
  if (frame.channel >= kFirstFree) {
    if (on_other_frame) on_other_frame(frame);
    return;
  }
  if (frame.frame_type == AMQP_FRAME_METHOD) places_->OnMethod(frame.payload.method);
}

void Publisher::OnMessageFrame(const amqp_frame_t& frame) {
  if (frame.frame_type == AMQP_FRAME_HEADER && std::exchange(returning_, false)) {
    const auto& properties = *static_cast<const amqp_basic_properties_t*>(frame.payload.properties.decoded);
    return NoteReturned(properties._flags & AMQP_BASIC_MESSAGE_ID_FLAG ? View(properties.message_id)
                                                                       : std::string_view());
  }
  if (frame.frame_type != AMQP_FRAME_METHOD) return;
  const amqp_method_t& method = frame.payload.method;
  if (messages_->OnMethod(method)) return;
  if (method.id == AMQP_BASIC_ACK_METHOD) {
    const auto& ack = *static_cast<const amqp_basic_ack_t*>(method.decoded);
    OnConfirm(ack.delivery_tag, ack.multiple != 0, /*taken=*/true);
  } else if (method.id == AMQP_BASIC_NACK_METHOD) {
    const auto& nack = *static_cast<const amqp_basic_nack_t*>(method.decoded);
    OnConfirm(nack.delivery_tag, nack.multiple != 0, /*taken=*/false);
  } else if (method.id == AMQP_BASIC_RETURN_METHOD) {
    returned_key_ = std::string(View(static_cast<const amqp_basic_return_t*>(method.decoded)->routing_key));
    returning_ = true;
  }
}

// A returned message is confirmed right after, so that it is among the first.
void Publisher::NoteReturned(std::string_view id) {
  const size_t hash = HashOf(returned_key_, id);
  for (Slot& slot : slots_) {
    if (slot.hash != hash || slot.returned || slot.done) continue;
    slot.returned = true;
    return;
  }
}

void Publisher::OnConfirm(uint64_t tag, bool multiple, bool taken) {
  const uint64_t number = base_ + tag;
  if (number < first_ || number >= first_ + slots_.size()) return;
  const size_t index = number - first_;
  for (size_t i = multiple ? 0 : index; i <= index; ++i) Answer(i, taken);
  while (!slots_.empty() && slots_.front().done) {
    slots_.pop_front();
    ++first_;
  }
}

void Publisher::Answer(size_t index, bool taken) {
  Slot& slot = slots_[index];
  if (std::exchange(slot.done, true)) return;
  absl::Status status;
  if (!taken) status = absl::UnavailableError(absl::StrCat(connection_->options().Address(), ": the queue refused it"));
  if (slot.returned) status = absl::NotFoundError("no queue takes it");
  owner_.OnConfirm(first_ + index, status);
}

}  // namespace messaging::rabbitmq
