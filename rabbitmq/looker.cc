#include "rabbitmq/looker.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "messaging/message.h"
#include "rabbitmq/topology.h"

namespace messaging::rabbitmq {
namespace {

constexpr int kReading = 1;
constexpr int kLooking = 2;
constexpr int kPage = 500;  // Messages ahead.
constexpr absl::Duration kPoll = absl::Milliseconds(20);
constexpr absl::Duration kMessageLimit = absl::Seconds(5);
constexpr absl::Duration kBackLimit = absl::Seconds(5);

absl::Status Reopen(Connection& connection, int channel, const absl::Status& why) {
  if (why.code() != absl::StatusCode::kUnavailable) {
    amqp_channel_open(connection.state(), static_cast<amqp_channel_t>(channel));
    const absl::Status opened = connection.LastStatus(channel);
    if (!opened.ok()) return opened;
  }
  return why;
}

// The next frame of a channel; those of others are put aside by nobody: there are none.
absl::StatusOr<amqp_frame_t> NextFrame(Connection& connection, absl::Duration limit) {
  amqp_frame_t frame;
  const timeval timeout = absl::ToTimeval(limit);
  const int status = amqp_simple_wait_frame_noblock(connection.state(), &frame, &timeout);
  if (status == AMQP_STATUS_OK) return frame;
  if (status == AMQP_STATUS_TIMEOUT) return absl::DeadlineExceededError("nothing came");
  return connection.Lost(amqp_error_string2(status));
}

absl::Status ChannelClosed(Connection& connection, const amqp_method_t& method) {
  const auto& close = *static_cast<const amqp_channel_close_t*>(method.decoded);
  return StatusOfReply(close.reply_code, View(close.reply_text), connection.options());
}

}  // namespace

absl::Status DeclareBlocking(Connection& connection, int channel, const QueueSpec& spec) {
  Arguments arguments(spec);
  amqp_queue_declare(connection.state(), static_cast<amqp_channel_t>(channel), Bytes(spec.name), /*passive=*/0,
                     /*durable=*/1, 0, 0, arguments.table());
  const absl::Status status = connection.LastStatus(channel);
  return status.ok() ? status : Reopen(connection, channel, status);
}

absl::StatusOr<QueueFigures> FiguresOf(Connection& connection, int channel, const std::string& queue) {
  const amqp_queue_declare_ok_t* const found = amqp_queue_declare(
      connection.state(), static_cast<amqp_channel_t>(channel), Bytes(queue), /*passive=*/1, 0, 0, 0, amqp_empty_table);
  if (found == nullptr) return Reopen(connection, channel, connection.LastStatus(channel));
  QueueFigures figures{.ready = found->message_count, .consumers = static_cast<int>(found->consumer_count)};
  amqp_maybe_release_buffers(connection.state());
  return figures;
}

absl::StatusOr<std::unique_ptr<Looker>> Looker::Open(const Connector& connect, const std::string& queue) {
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect("look");
  if (!connection.ok()) return connection.status();
  std::unique_ptr<Looker> looker(new Looker(*std::move(connection), queue));
  amqp_channel_open(looker->connection_->state(), kLooking);
  absl::Status status = looker->Lock();
  if (!status.ok()) return status;
  const absl::StatusOr<int64_t> ready = looker->CountReady();
  if (!ready.ok()) return ready.status();
  looker->expected_ = *ready;
  amqp_channel_open(looker->connection_->state(), kReading);
  status = looker->connection_->LastStatus(kReading);
  if (!status.ok()) return status;
  return looker;
}

// An exclusive queue is this connection's alone and ends with it.
absl::Status Looker::Lock() {
  const std::string name =
      absl::StrCat(kReservedTopicPrefix, "look.", absl::Hex(StableHash(queue_)), ".", queue_.substr(0, 200));
  const absl::Time limit = absl::Now() + connection_->options().response_timeout;
  while (true) {
    amqp_queue_declare(connection_->state(), kLooking, Bytes(name), 0, 0, /*exclusive=*/1, /*auto_delete=*/1,
                       amqp_empty_table);
    const absl::Status status = connection_->LastStatus(kLooking);
    if (status.ok() || status.code() == absl::StatusCode::kUnavailable) return status;
    const absl::Status why = Reopen(*connection_, kLooking, status);
    if (why.code() == absl::StatusCode::kPermissionDenied) return absl::OkStatus();  // Then without it.
    if (why.code() != absl::StatusCode::kAborted) return why;
    if (absl::Now() > limit) {
      return absl::UnavailableError(absl::StrCat("somebody else is looking at ", queue_));
    }
    absl::SleepFor(kPoll);
  }
}

absl::StatusOr<int64_t> Looker::CountReady() {
  const absl::StatusOr<QueueFigures> figures = FiguresOf(*connection_, kLooking, queue_);
  if (!figures.ok()) return figures.status();
  return figures->ready;
}

absl::Status Looker::Consume() {
  const amqp_connection_state_t state = connection_->state();
  if (consumers_ > 0) {
    amqp_basic_cancel(state, kReading, Bytes(absl::StrCat(consumers_)));
    if (const absl::Status status = connection_->LastStatus(kReading); !status.ok()) return status;
  }
  ++consumers_;
  of_consumer_ = 0;
  amqp_basic_qos(state, kReading, 0, kPage, 0);
  const std::string tag = absl::StrCat(consumers_);
  amqp_basic_consume(state, kReading, Bytes(queue_), Bytes(tag), 0, 0, 0, amqp_empty_table);
  return connection_->LastStatus(kReading);
}

absl::Status Looker::Receive() {
  current_ = std::make_unique<RabbitRecord>();
  uint64_t left = 0;
  bool has_header = false;
  while (true) {
    const absl::StatusOr<amqp_frame_t> frame = NextFrame(*connection_, kMessageLimit);
    if (!frame.ok()) return frame.status();
    if (frame->frame_type == AMQP_FRAME_METHOD) {
      const amqp_method_t& method = frame->payload.method;
      if (method.id == AMQP_CHANNEL_CLOSE_METHOD) return ChannelClosed(*connection_, method);
      if (method.id == AMQP_BASIC_CANCEL_METHOD) return absl::NotFoundError(absl::StrCat(queue_, " was deleted"));
      if (method.id == AMQP_BASIC_DELIVER_METHOD) {
        current_->tag = static_cast<const amqp_basic_deliver_t*>(method.decoded)->delivery_tag;
      }
      continue;
    }
    if (frame->frame_type == AMQP_FRAME_HEADER) {
      has_header = true;
      left = frame->payload.properties.body_size;
      ReadProperties(*static_cast<const amqp_basic_properties_t*>(frame->payload.properties.decoded),
                     frame->payload.properties.raw, left, *current_);
    } else if (frame->frame_type == AMQP_FRAME_BODY) {
      const std::string_view part = View(frame->payload.body_fragment);
      AppendBody(*current_, part);
      left -= std::min<uint64_t>(left, part.size());
    }
    if (!has_header || left > 0) continue;
    FinishBody(*current_);
    current_->arrived = absl::Now();
    amqp_maybe_release_buffers(connection_->state());
    return absl::OkStatus();
  }
}

absl::StatusOr<std::unique_ptr<RabbitRecord>> Looker::Next() {
  if (seen_ >= expected_) return nullptr;
  if (consumers_ == 0 || of_consumer_ == kPage) {
    if (const absl::Status status = Consume(); !status.ok()) return status;
  }
  const absl::Status status = Receive();
  if (status.code() == absl::StatusCode::kDeadlineExceeded) {
    return absl::UnavailableError(absl::StrCat(queue_, ": ", expected_ - seen_, " of ", expected_,
                                               " messages were not to be seen: somebody else consumes the queue"));
  }
  if (!status.ok()) return status;
  ++seen_;
  ++of_consumer_;
  return std::move(current_);
}

void Looker::TakeOut(const RabbitRecord& record) {
  amqp_basic_ack(connection_->state(), kReading, record.tag, /*multiple=*/0);
  ++taken_;
}

absl::Status Looker::Close() {
  if (std::exchange(closed_, true)) return absl::OkStatus();
  if (consumers_ == 0) return absl::OkStatus();
  const amqp_connection_state_t state = connection_->state();
  // In order: nothing more comes, all goes back.
  amqp_basic_cancel(state, kReading, Bytes(absl::StrCat(consumers_)));
  absl::Status status = connection_->LastStatus(kReading);
  if (status.ok()) {
    amqp_basic_nack(state, kReading, /*delivery_tag=*/0, /*multiple=*/1, /*requeue=*/1);
    status = connection_->StatusOf(amqp_channel_close(state, kReading, AMQP_REPLY_SUCCESS), kReading);
  }
  const absl::Time limit = absl::Now() + kBackLimit;
  while (status.ok()) {
    const absl::StatusOr<int64_t> ready = CountReady();
    if (!ready.ok()) return ready.status();
    if (*ready >= expected_ - taken_ || absl::Now() > limit) break;
    absl::SleepFor(kPoll / 4);
  }
  amqp_connection_close(state, AMQP_REPLY_SUCCESS);
  return status;
}

Looker::~Looker() { (void)Close(); }

absl::StatusOr<std::unique_ptr<Sender>> Sender::Open(const Connector& connect) {
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect("send");
  if (!connection.ok()) return connection.status();
  std::unique_ptr<Sender> sender(new Sender(*std::move(connection)));
  amqp_channel_open(sender->connection_->state(), kReading);
  amqp_confirm_select(sender->connection_->state(), kReading);
  amqp_channel_open(sender->connection_->state(), kLooking);
  const absl::Status status = sender->connection_->LastStatus(kReading);
  if (!status.ok()) return status;
  return sender;
}

absl::Status Sender::Publish(const std::string& queue, Encoded& message) {
  const amqp_basic_properties_t& properties = message.properties();
  amqp_basic_publish(connection_->state(), kReading, amqp_empty_bytes, Bytes(queue), /*mandatory=*/1, 0, &properties,
                     Bytes(message.body));
  bool returned = false;
  while (true) {
    const absl::StatusOr<amqp_frame_t> frame = NextFrame(*connection_, connection_->options().response_timeout);
    if (!frame.ok()) return absl::UnavailableError(frame.status().message());
    if (frame->frame_type != AMQP_FRAME_METHOD || frame->channel != kReading) continue;
    const amqp_method_t& method = frame->payload.method;
    if (method.id == AMQP_CHANNEL_CLOSE_METHOD) return ChannelClosed(*connection_, method);
    if (method.id == AMQP_BASIC_RETURN_METHOD) returned = true;
    if (method.id == AMQP_BASIC_NACK_METHOD) return connection_->Lost("the queue refused the message");
    if (method.id != AMQP_BASIC_ACK_METHOD) continue;
    amqp_maybe_release_buffers(connection_->state());
    return returned ? absl::NotFoundError(absl::StrCat("the queue ", queue, " is not there")) : absl::OkStatus();
  }
}

}  // namespace messaging::rabbitmq
