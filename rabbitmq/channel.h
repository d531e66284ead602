// One channel of a connection: methods go out without waiting, their answers come in the same order.
#ifndef RABBITMQ_CHANNEL_H_
#define RABBITMQ_CHANNEL_H_

#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "rabbitmq/connection.h"
#include "rabbitmq/topology.h"

namespace messaging::rabbitmq {

// What a queue.declare-ok tells.
struct QueueFigures {
  int64_t ready = 0;
  int consumers = 0;
};

class Channel {
 public:
  // `method` is the answer; null where `status` is why none comes: the server closed the channel over this method or an
  // earlier one.
  using Answer = std::function<void(const absl::Status& status, const amqp_method_t* method)>;
  using Done = std::function<void(const absl::Status& status)>;

  Channel(Connection& connection, int number) : connection_(connection), number_(number) {}

  void Open();  // Again after the server closed it.
  bool open() const { return open_; }
  int number() const { return number_; }
  Connection& connection() { return connection_; }

  void Ask(amqp_method_number_t id, void* method, Answer answer);
  void Send(amqp_method_number_t id, void* method);  // Without an answer.
  void DeclareQueue(const QueueSpec& spec, bool passive, std::function<void(const absl::Status&, QueueFigures)> answer);
  void DeclareExchange(const std::string& name, Done done);
  void Bind(const std::string& queue, const std::string& exchange, const std::string& routing_key, Done done);
  void Consume(const std::string& queue, const std::string& tag, int prefetch, const amqp_table_t& arguments,
               Done done);
  void Cancel(const std::string& tag, Done done);
  void Close(Done done);
  void Ack(uint64_t tag, bool multiple);
  void Requeue(uint64_t tag, bool multiple);

  // Method frames of this channel. True: it was an answer, or the channel's end; else it is the caller's.
  bool OnMethod(const amqp_method_t& method);
  // Called when the server closes the channel, after those who wait for answers were told.
  std::function<void(const absl::Status& why)> on_closed;
  size_t waiting() const { return waiting_.size(); }
  // When the next answer is overdue; never, where none is waited for. A server that goes on answering takes its time.
  absl::Time overdue_at() const;

 private:
  Connection& connection_;
  const int number_;
  bool open_ = false;
  std::deque<Answer> waiting_;
  absl::Time waiting_since_ = absl::InfinitePast();  // For the first of them.
};

}  // namespace messaging::rabbitmq

#endif  // RABBITMQ_CHANNEL_H_
