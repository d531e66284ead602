// RabbitmqAdmin::Tail: a queue of its own beside the groups', which ends with it.
#include <rabbitmq-c/amqp.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rabbitmq/admin.h"
#include "rabbitmq/topology.h"
#include "rabbitmq/wire.h"

namespace messaging::rabbitmq {
namespace {

constexpr int kChannel = 1;
constexpr timeval kPoll = {.tv_sec = 0, .tv_usec = 100'000};

}  // namespace

absl::Status RabbitmqAdmin::Tail(const TailOptions& tail, std::function<bool(const Record&)> visit,
                                 std::function<bool()> stop) {
  absl::StatusOr<std::unique_ptr<Connection>> opened = Connect();
  if (!opened.ok()) return opened.status();
  Connection& connection = **opened;
  const amqp_connection_state_t state = connection.state();
  amqp_queue_declare_ok_t* const queue =
      amqp_queue_declare(state, kChannel, amqp_empty_bytes, 0, 0, /*exclusive=*/1, /*auto_delete=*/1, amqp_empty_table);
  if (queue == nullptr) return connection.LastStatus(kChannel);
  const std::string name(View(queue->queue));
  const std::string exchange = ExchangeOf(options_, tail.topic);
  const int partitions = options_.PartitionsOf(tail.topic);
  for (int i = partitions == 0 ? -1 : 0; i < partitions; ++i) {
    const std::string key = RoutingKey(options_, tail.topic, i);
    amqp_queue_bind(state, kChannel, Bytes(name), Bytes(exchange), Bytes(key), amqp_empty_table);
    const absl::Status bound = connection.LastStatus(kChannel);
    if (!bound.ok()) return bound;
  }
  if (!tail.follow) return absl::OkStatus();  // The server keeps nothing that it could show.
  amqp_basic_consume(state, kChannel, Bytes(name), amqp_empty_bytes, 0, /*no_ack=*/1, /*exclusive=*/1,
                     amqp_empty_table);
  if (const absl::Status status = connection.LastStatus(kChannel); !status.ok()) return status;
  std::unique_ptr<RabbitRecord> record;
  uint64_t left = 0;
  while (!stop()) {
    amqp_frame_t frame;
    const int status = amqp_simple_wait_frame_noblock(state, &frame, &kPoll);
    if (status == AMQP_STATUS_TIMEOUT) continue;
    if (status != AMQP_STATUS_OK) return connection.Lost(amqp_error_string2(status));
    if (frame.frame_type == AMQP_FRAME_METHOD) {
      if (frame.payload.method.id == AMQP_CHANNEL_CLOSE_METHOD) return connection.Lost("the channel was closed");
      continue;
    }
    if (frame.frame_type == AMQP_FRAME_HEADER) {
      record = std::make_unique<RabbitRecord>();
      record->topic = tail.topic;
      left = frame.payload.properties.body_size;
      ReadProperties(*static_cast<const amqp_basic_properties_t*>(frame.payload.properties.decoded),
                     frame.payload.properties.raw, left, *record);
    } else if (record != nullptr) {
      const std::string_view part = View(frame.payload.body_fragment);
      AppendBody(*record, part);
      left -= std::min<uint64_t>(left, part.size());
    }
    amqp_maybe_release_buffers(state);
    if (record == nullptr || left > 0) continue;
    FinishBody(*record);
    if (!visit(*record)) return absl::OkStatus();
    record.reset();
  }
  return absl::OkStatus();
}

}  // namespace messaging::rabbitmq
