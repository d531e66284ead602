// Reads a queue from its beginning to its end and leaves it as it was, but for what is taken out. One at a time: two
// would each see a part. Blocking; one thread.
#ifndef RABBITMQ_LOOKER_H_
#define RABBITMQ_LOOKER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rabbitmq/channel.h"
#include "rabbitmq/connection.h"
#include "rabbitmq/producer.h"
#include "rabbitmq/topology.h"
#include "rabbitmq/wire.h"

namespace messaging::rabbitmq {

class Looker {
 public:
  // Waits while another looks. NotFound: there is no such queue.
  static absl::StatusOr<std::unique_ptr<Looker>> Open(const Connector& connect, const std::string& queue);
  ~Looker();

  // The next of those that were there when it was opened; null: that was the last. Unavailable: some did not come.
  absl::StatusOr<std::unique_ptr<RabbitRecord>> Next();
  void TakeOut(const RabbitRecord& record);  // One that Next gave.
  // Gives back all that was not taken out, and waits until it is there again.
  absl::Status Close();

 private:
  Looker(std::unique_ptr<Connection> connection, std::string queue)
      : connection_(std::move(connection)), queue_(std::move(queue)) {}
  absl::Status Lock();
  absl::StatusOr<int64_t> CountReady();
  absl::Status Consume();
  absl::Status Receive();

  const std::unique_ptr<Connection> connection_;
  const std::string queue_;
  int64_t expected_ = 0;
  int64_t seen_ = 0;
  int64_t taken_ = 0;
  int64_t of_consumer_ = 0;
  int consumers_ = 0;
  std::unique_ptr<RabbitRecord> current_;
  bool closed_ = false;
};

// Publishes and waits for the confirm. NotFound: no queue takes it.
class Sender {
 public:
  static absl::StatusOr<std::unique_ptr<Sender>> Open(const Connector& connect);
  absl::Status Publish(const std::string& queue, Encoded& message);
  Connection& connection() { return *connection_; }

 private:
  explicit Sender(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}
  const std::unique_ptr<Connection> connection_;
};

// Declares, on a connection that blocks and has a channel of that number open.
absl::Status DeclareBlocking(Connection& connection, int channel, const QueueSpec& spec);
// What is ready there, and its consumers. NotFound: there is no such queue; the channel is open again.
absl::StatusOr<QueueFigures> FiguresOf(Connection& connection, int channel, const std::string& queue);

}  // namespace messaging::rabbitmq

#endif  // RABBITMQ_LOOKER_H_
