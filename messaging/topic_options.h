// What a topic should be like where its broker lets one say so.
#ifndef MESSAGING_TOPIC_OPTIONS_H_
#define MESSAGING_TOPIC_OPTIONS_H_

#include <map>
#include <string>

namespace messaging {

// Senders and consumers of a topic must agree on `partitions`: the sender hashes the key. A broker without partitions
// of its own (Redis, RabbitMQ) makes them as so many streams or queues with one owner each, and then keeps the order
// of a key across the group; SQLite and memory keep it anyway and ignore the number.
struct TopicOptions {
  int partitions = 0;  // 0: the broker's default.
  int replicas = 0;    // 0: the server's default. Ignored where the server knows no such thing.
  std::map<std::string, std::string> settings;  // By the broker's own names: {"retention.ms", "3600000"}.
};

}  // namespace messaging

#endif  // MESSAGING_TOPIC_OPTIONS_H_
