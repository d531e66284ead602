// The manual consumer over Redis; all of it is told in messaging/manual_consumer.h.
//
//   redis::Consumer consumer({.group_id = "my-service", .topics = {"orders.created"}, .message_handler = Process});
//
// Without a URL it takes REDIS_URL, else redis://127.0.0.1:6379/0.
#ifndef REDIS_CONSUMER_H_
#define REDIS_CONSUMER_H_

#include <utility>

#include "messaging/manual_consumer.h"

namespace messaging::redis {

// The manual consumer, over Redis.
class Consumer : public ManualConsumer {
 public:
  explicit Consumer(ManualConsumerOptions options) : ManualConsumer("redis", std::move(options)) {}
};

}  // namespace messaging::redis

#endif  // REDIS_CONSUMER_H_
