// The manual consumer over Kafka; all of it is told in messaging/manual_consumer.h.
//
//   kafka::Consumer consumer({.group_id = "my-service", .topics = {"orders.created"}, .message_handler = Process});
//
// Without a URL it takes KAFKA_BOOTSTRAP_SERVERS, else kafka://127.0.0.1:9092.
#ifndef KAFKA_CONSUMER_H_
#define KAFKA_CONSUMER_H_

#include <utility>

#include "messaging/manual_consumer.h"

namespace messaging::kafka {

// As ManualConsumer, over Kafka.
class Consumer : public ManualConsumer {
 public:
  explicit Consumer(ManualConsumerOptions options) : ManualConsumer("kafka", std::move(options)) {}
};

}  // namespace messaging::kafka

#endif  // KAFKA_CONSUMER_H_
