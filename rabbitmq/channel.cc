#include "rabbitmq/channel.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "messaging/broker/clock.h"

namespace messaging::rabbitmq {
namespace {

Channel::Answer StatusOnly(Channel::Done done) {
  return [done = std::move(done)](const absl::Status& status, const amqp_method_t*) {
    if (done) done(status);
  };
}

}  // namespace

void Channel::Open() {
  open_ = true;
  amqp_channel_open_t open = {};
  Ask(AMQP_CHANNEL_OPEN_METHOD, &open, StatusOnly(nullptr));
}

void Channel::Send(amqp_method_number_t id, void* method) {
  amqp_send_method(connection_.state(), static_cast<amqp_channel_t>(number_), id, method);
}

void Channel::Ask(amqp_method_number_t id, void* method, Answer answer) {
  if (waiting_.empty()) waiting_since_ = Clock::Steady().Now();
  waiting_.push_back(std::move(answer));
  Send(id, method);
}

absl::Time Channel::overdue_at() const {
  return waiting_.empty() ? absl::InfiniteFuture() : waiting_since_ + connection_.options().response_timeout;
}

void Channel::DeclareQueue(const QueueSpec& spec, bool passive,
                           std::function<void(const absl::Status&, QueueFigures)> answer) {
  Arguments arguments(spec);
  amqp_queue_declare_t declare = {.queue = Bytes(spec.name), .passive = passive, .durable = 1};
  if (!passive) declare.arguments = arguments.table();
  Ask(AMQP_QUEUE_DECLARE_METHOD, &declare,
      [answer = std::move(answer)](const absl::Status& status, const amqp_method_t* method) {
        QueueFigures figures;
        if (method != nullptr) {
          const auto& ok = *static_cast<const amqp_queue_declare_ok_t*>(method->decoded);
          figures = {.ready = ok.message_count, .consumers = static_cast<int>(ok.consumer_count)};
        }
        answer(status, figures);
      });
}

void Channel::DeclareExchange(const std::string& name, Done done) {
  amqp_exchange_declare_t declare = {.exchange = Bytes(name), .type = Bytes("topic"), .durable = 1};
  Ask(AMQP_EXCHANGE_DECLARE_METHOD, &declare, StatusOnly(std::move(done)));
}

void Channel::Bind(const std::string& queue, const std::string& exchange, const std::string& routing_key, Done done) {
  amqp_queue_bind_t bind = {.queue = Bytes(queue), .exchange = Bytes(exchange), .routing_key = Bytes(routing_key)};
  Ask(AMQP_QUEUE_BIND_METHOD, &bind, StatusOnly(std::move(done)));
}

void Channel::Consume(const std::string& queue, const std::string& tag, int prefetch, const amqp_table_t& arguments,
                      Done done) {
  amqp_basic_qos_t qos = {.prefetch_count = static_cast<uint16_t>(prefetch)};
  Ask(AMQP_BASIC_QOS_METHOD, &qos, StatusOnly(nullptr));
  amqp_basic_consume_t consume = {.queue = Bytes(queue), .consumer_tag = Bytes(tag), .arguments = arguments};
  Ask(AMQP_BASIC_CONSUME_METHOD, &consume, StatusOnly(std::move(done)));
}

void Channel::Cancel(const std::string& tag, Done done) {
  amqp_basic_cancel_t cancel = {.consumer_tag = Bytes(tag)};
  Ask(AMQP_BASIC_CANCEL_METHOD, &cancel, StatusOnly(std::move(done)));
}

void Channel::Close(Done done) {
  open_ = false;
  amqp_channel_close_t close = {.reply_code = AMQP_REPLY_SUCCESS, .reply_text = Bytes("done")};
  Ask(AMQP_CHANNEL_CLOSE_METHOD, &close, StatusOnly(std::move(done)));
}

void Channel::Ack(uint64_t tag, bool multiple) {
  amqp_basic_ack_t ack = {.delivery_tag = tag, .multiple = multiple};
  Send(AMQP_BASIC_ACK_METHOD, &ack);
}

void Channel::Requeue(uint64_t tag, bool multiple) {
  amqp_basic_nack_t nack = {.delivery_tag = tag, .multiple = multiple, .requeue = 1};
  Send(AMQP_BASIC_NACK_METHOD, &nack);
}

bool Channel::OnMethod(const amqp_method_t& method) {
  switch (method.id) {
    case AMQP_BASIC_DELIVER_METHOD:
    case AMQP_BASIC_RETURN_METHOD:
    case AMQP_BASIC_ACK_METHOD:
    case AMQP_BASIC_NACK_METHOD:
    case AMQP_BASIC_CANCEL_METHOD:
      return false;
    case AMQP_CHANNEL_FLOW_METHOD:
      return true;  // RabbitMQ has connection.blocked instead.
    case AMQP_CHANNEL_CLOSE_METHOD: {
      const auto& close = *static_cast<const amqp_channel_close_t*>(method.decoded);
      const absl::Status why = StatusOfReply(close.reply_code, View(close.reply_text), connection_.options());
      amqp_channel_close_ok_t ok = {};
      Send(AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
      open_ = false;
      for (Answer& answer : std::exchange(waiting_, {})) answer(why, nullptr);
      if (on_closed) on_closed(why);
      return true;
    }
    default:
      break;
  }
  if (waiting_.empty()) return true;  // Nobody asked.
  const Answer answer = std::move(waiting_.front());
  waiting_.pop_front();
  waiting_since_ = Clock::Steady().Now();
  answer(absl::OkStatus(), &method);
  return true;
}

}  // namespace messaging::rabbitmq
