// The manual consumer over RabbitMQ; all of it is told in messaging/manual_consumer.h.
//
//   rabbitmq::Consumer consumer({.group_id = "my-service", .topics = {"orders.created"}, .message_handler = Process});
//
// Without a URL it takes RABBITMQ_URL, else amqp://guest:guest@127.0.0.1:5672/.
#ifndef RABBITMQ_CONSUMER_H_
#define RABBITMQ_CONSUMER_H_

#include <utility>

#include "messaging/manual_consumer.h"

namespace messaging::rabbitmq {

// A function as the handler of some topics, over RabbitMQ.
class Consumer : public ManualConsumer {
 public:
  explicit Consumer(ManualConsumerOptions options) : ManualConsumer("rabbitmq", std::move(options)) {}
};

}  // namespace messaging::rabbitmq

#endif  // RABBITMQ_CONSUMER_H_
