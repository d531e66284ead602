// Where things lie on the server.
//
//   exchange `messaging` (option), topic, durable    topics go through it, by routing key TOPIC or TOPIC/PARTITION
//   queue GROUP/TOPIC, or GROUP/TOPIC/PARTITION      what a group has to do
// and by messaging/broker/names.h
//   queue RetryPlace(topic, group, delay)            waits for its delay, then goes back to the group's queue
//   queue DeadLetterPlace(topic, group)              dead letters
//   stream RetryPlace(topic, group, 0):notes         attempts that began, what was given back (notes.h)
//   queue RetryPlace(topic, group, 0):group          of partitions: nothing is in it, its consumers are counted
#ifndef RABBITMQ_TOPOLOGY_H_
#define RABBITMQ_TOPOLOGY_H_

#include <rabbitmq-c/amqp.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "rabbitmq/rabbitmq_broker.h"

namespace messaging::rabbitmq {

using Version = std::pair<int, int>;

// A durable queue as it is declared.
struct QueueSpec {
  using Value = std::variant<int64_t, std::string, bool>;
  std::string name;
  std::vector<std::pair<std::string, Value>> arguments;
};

// A spec's arguments for rabbitmq-c. The spec outlives it.
class Arguments {
 public:
  explicit Arguments(const QueueSpec& spec);
  amqp_table_t table() { return {.num_entries = static_cast<int>(entries_.size()), .entries = entries_.data()}; }

 private:
  std::vector<amqp_table_entry_t> entries_;
};

// Of a topic: -1 where it has no partitions.
std::string RoutingKey(const RabbitmqOptions& options, const std::string& topic, int partition);
std::string ExchangeOf(const RabbitmqOptions& options, const std::string& topic);
std::string QueueName(const RabbitmqOptions& options, std::string_view topic, std::string_view group, int partition);

// The inverse of QueueName, for those that this library has made. False: it is none of them.
bool ParseQueueName(std::string_view name, std::string& topic, std::string& group, int& partition);

// `version`: the server's. From 4.0 on a quorum queue drops what was delivered 20 times unless told otherwise; before,
// the same argument would make it drop what is delivered twice.
QueueSpec GroupQueue(const RabbitmqOptions& options, std::string_view topic, std::string_view group, int partition,
                     Version version);
QueueSpec DelayQueue(std::string_view topic, std::string_view group, int partition, absl::Duration delay,
                     const std::string& back_to, Version version);
QueueSpec DeadQueue(std::string_view topic, std::string_view group, Version version);
QueueSpec NotesStream(std::string_view topic, std::string_view group);
QueueSpec MembersQueue(std::string_view topic, std::string_view group);

// FNV-1a with 64 bits: the same on every machine.
uint64_t StableHash(std::string_view text);
// The queue's number for a key: its StableHash modulo `partitions`. Every sender has to do the same.
int PartitionOf(std::string_view key, int partitions);

}  // namespace messaging::rabbitmq

#endif  // RABBITMQ_TOPOLOGY_H_
