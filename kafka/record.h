// A message as Kafka's record: what the library adds are headers. docs/kafka.md tells other programs the same.
//
//   messaging-id, messaging-type (content type)
// and in retries and dead letters
//   messaging-handler messaging-attempts messaging-first messaging-last messaging-time (of the message; microseconds)
//   messaging-code messaging-error messaging-suspect messaging-topic messaging-group
//   messaging-due (a retry's), messaging-since messaging-key messaging-null (a dead letter's, whose record has a key
//   of its own)
#ifndef KAFKA_RECORD_H_
#define KAFKA_RECORD_H_

#include <librdkafka/rdkafka.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "kafka/handle.h"
#include "messaging/broker/dead_letters.h"
#include "messaging/broker/delivery.h"
#include "messaging/message.h"
#include "messaging/record.h"

namespace messaging::kafka {

using MessagePtr = std::unique_ptr<rd_kafka_message_t, Destroyer<rd_kafka_message_destroy>>;

inline constexpr std::string_view kIdHeader = "messaging-id";
inline constexpr std::string_view kTypeHeader = "messaging-type";

struct Partition;

// A message in this member's hand; its views point into librdkafka's buffer, which `message` keeps.
struct KafkaRecord : Record {
  MessagePtr message;
  Partition* from = nullptr;
  uint64_t number = 0;  // Of its partition's Offsets.
  bool revoked = false;
  std::vector<HeaderView> header_views;
};

// Fills the record from its message. Headers are read when they are first asked for (Record::load_metadata), except
// where `retry`: then what the library wrote into them is read at once.
void ReadMessage(KafkaRecord& record, bool retry);
// When a retry may be delivered: from its headers. InfinitePast: at once.
absl::Time DueOf(const rd_kafka_message_t& message);

// The whole of a record, as a message to the place of its copy. A record whose headers were not read has them read.
Message CopyMessage(Record& record, const Copy& copy, const std::string& group, std::string place, std::string key,
                    absl::Time now);
// A dead letter as a message to its place, and to a retry place (attempts at zero).
Message DeadMessage(const DeadLetter& letter, std::string place, std::string key);
Message ReplayMessage(const DeadLetter& letter, std::string place);
DeadLetter ReadDeadLetter(const rd_kafka_message_t& message);

std::string_view PayloadOf(const rd_kafka_message_t& message);
std::string_view KeyOf(const rd_kafka_message_t& message);
absl::Time TimeOf(const rd_kafka_message_t& message);

}  // namespace messaging::kafka

#endif  // KAFKA_RECORD_H_
