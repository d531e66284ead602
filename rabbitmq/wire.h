// A message as AMQP carries it: properties and headers. docs/rabbitmq.md tells other programs the same.
//
//   body, content-type, message-id, timestamp (seconds)     as everywhere
//   messaging-time     microseconds since 1970
//   messaging-key      the key, any bytes
//   messaging-null     there is no payload
//   messaging-headers  all headers in their order, where they repeat or are not sorted: the server sorts
// and in retries and dead letters
//   messaging-handler -attempts -first -last -code -error -suspect -copy, of dead letters -topic -group -since
//   messaging-kept-NAME   a header that another server or program put there and this one would take for its own
#ifndef RABBITMQ_WIRE_H_
#define RABBITMQ_WIRE_H_

#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "messaging/broker/dead_letters.h"
#include "messaging/broker/delivery.h"
#include "messaging/message.h"
#include "messaging/record.h"

namespace messaging::rabbitmq {

// A message that came; its views point into `bytes`.
struct RabbitRecord : Record {
  std::string bytes;  // Properties as they came, then the body.
  size_t properties_size = 0;
  std::vector<HeaderView> header_views;
  std::list<std::string> own;  // What views point at that had to be written anew; empty, it allocates nothing.
  bool is_copy = false;        // A retry or a replay that this library wrote.
  std::string_view copy;       // Tells copies of one message apart.
  uint32_t deliveries = 0;     // Earlier ones, as the queue counts: classic queues do not.

  // The subscription's.
  int queue = -1;
  uint64_t channel_life = 0;  // In which life of the queue's channel it came; another's tag means nothing.
  uint64_t tag = 0;
  bool checked = true;  // Whether it is a suspect is known.
  absl::Time arrived;
  std::string identity;              // IdentityOf, once it was asked for.
  std::string noted_handler;         // What attempts_of points at.
  bool delivered = false;            // The sink has it.
  bool revoked = false;              // It was lost with its channel.
  RabbitRecord* previous = nullptr;  // Of those in hand.
  RabbitRecord* next = nullptr;
};

// Reads properties into `record`, whose topic is set and whose body follows: Append, then Finish.
void ReadProperties(const amqp_basic_properties_t& properties, amqp_bytes_t raw, uint64_t body_size,
                    RabbitRecord& record);
inline void AppendBody(RabbitRecord& record, std::string_view part) { record.bytes.append(part); }
inline void FinishBody(RabbitRecord& record) {
  record.payload = std::string_view(record.bytes).substr(record.properties_size);
}
// The same for a record out of a dead-letter queue.
DeadLetter ReadDeadLetter(const RabbitRecord& record);

// 16 bytes that tell a message from any other, the same whenever it is delivered.
std::string IdentityOf(const RabbitRecord& record);

// What is published. What it is made from outlives it.
class Encoded {
 public:
  Encoded() { init_amqp_pool(&pool_, 1'024); }
  ~Encoded() { empty_amqp_pool(&pool_); }
  Encoded(const Encoded&) = delete;
  Encoded& operator=(const Encoded&) = delete;

  // A message that is sent.
  explicit Encoded(const Message& message);
  // A retry, or with `group` a dead letter: the whole of a record; handler and failure as the copy says.
  Encoded(const RabbitRecord& record, const Copy& copy, std::string_view group = "");
  // A dead letter from an export.
  explicit Encoded(const DeadLetter& letter);
  // A dead letter that goes back to its handler, with its attempts at zero.
  static std::unique_ptr<Encoded> Replay(const RabbitRecord& record);
  // Bytes of the library's own.
  static std::unique_ptr<Encoded> Plain(std::string_view body);

  // How long a queue may keep it, rounded up to milliseconds. Again: a new one.
  void set_expiration(absl::Duration after);
  const amqp_basic_properties_t& properties();
  std::string_view body;
  std::string_view id() const { return View(properties_.message_id); }
  // About how large its properties are: they have to fit into one frame.
  size_t properties_size() const;

 private:
  static std::string_view View(const amqp_bytes_t& bytes) { return {static_cast<const char*>(bytes.bytes), bytes.len}; }
  std::string_view Own(std::string text);
  void AddText(std::string_view name, std::string_view value);
  void AddNumber(std::string_view name, int64_t value);
  void AddFlag(std::string_view name);
  void AddTime(std::string_view name, absl::Time time);
  void AddMessage(const Message& message);
  void AddHeaders(const std::vector<Header>& headers);
  void AddFailure(const Failure& failure);
  void AddRecord(const RabbitRecord& record);
  void AddCopyName();
  void SetShort(amqp_flags_t flag, amqp_bytes_t& field, std::string_view name, std::string_view value);

  amqp_pool_t pool_;
  amqp_basic_properties_t properties_ = {};
  std::vector<amqp_table_entry_t> entries_;
  std::vector<amqp_field_value_t> list_;
  std::list<std::string> own_;
  std::string expiration_;
};

}  // namespace messaging::rabbitmq

#endif  // RABBITMQ_WIRE_H_
