// raw_rabbitmq send|consume|latency|drop TOPIC N: plain rabbitmq-c doing what rabbitmq_bench has the library do: the
// same properties a message, a queue of the kind that BENCH_QUEUE_TYPE names (quorum unless told otherwise). send:
// 2,000 unconfirmed at most. consume: 2,000 ahead at most, acknowledged 200 at a time. Prints one line of JSON.
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/tcp_socket.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "messaging/broker/url.h"
#include "tests/bench/raw.h"
#include "tests/bench/usage.h"

namespace {

using bench::Check;

constexpr int64_t kWindow = 2'000;
constexpr int64_t kAcknowledged = 200;
constexpr amqp_channel_t kChannel = 1;

amqp_bytes_t Bytes(std::string_view text) { return {.len = text.size(), .bytes = const_cast<char*>(text.data())}; }

class Raw {
 public:
  Raw() : state_(amqp_new_connection()) {
    const char* const text = std::getenv("MESSAGING_URL");
    Check(text != nullptr, "no MESSAGING_URL");
    const auto url = messaging::Url::Parse(text);
    Check(url.ok() && !url->hosts.empty(), "no such MESSAGING_URL");
    amqp_socket_t* const socket = amqp_tcp_socket_new(state_);
    Check(amqp_socket_open(socket, url->hosts[0].name.c_str(), url->hosts[0].port) == AMQP_STATUS_OK, "cannot connect");
    const amqp_rpc_reply_t login =
        amqp_login(state_, "/", 0, 131'072, 0, AMQP_SASL_METHOD_PLAIN, url->user.value_or("guest").c_str(),
                   url->password.value_or("guest").c_str());
    Check(login.reply_type == AMQP_RESPONSE_NORMAL, "cannot log in");
    Check(amqp_channel_open(state_, kChannel) != nullptr, "no channel");
  }
  ~Raw() {
    amqp_connection_close(state_, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(state_);
  }
  amqp_connection_state_t state() const { return state_; }

  void DeclareQueue(std::string_view name) {
    const char* const type = std::getenv("BENCH_QUEUE_TYPE");
    amqp_table_entry_t entry = {.key = Bytes("x-queue-type"), .value = {.kind = AMQP_FIELD_KIND_UTF8, .value = {}}};
    entry.value.value.bytes = Bytes(type == nullptr ? "quorum" : type);
    const amqp_table_t arguments = {.num_entries = 1, .entries = &entry};
    Check(
        amqp_queue_declare(state_, kChannel, Bytes(name), false, /*durable=*/true, false, false, arguments) != nullptr,
        "cannot declare");
  }

  void Confirm() { Check(amqp_confirm_select(state_, kChannel) != nullptr, "no confirms"); }

  void Publish(std::string_view topic, std::string_view payload, int64_t number) {
    char id[37];
    std::snprintf(id, sizeof id, "%036lld", static_cast<long long>(number));
    const absl::Time now = absl::Now();
    amqp_table_entry_t time = {.key = Bytes("messaging-time"), .value = {.kind = AMQP_FIELD_KIND_I64, .value = {}}};
    time.value.value.i64 = absl::ToUnixMicros(now);
    amqp_basic_properties_t properties = {};
    properties._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
                        AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_HEADERS_FLAG;
    properties.content_type = Bytes("application/octet-stream");
    properties.delivery_mode = AMQP_DELIVERY_PERSISTENT;
    properties.message_id = Bytes(id);
    properties.timestamp = static_cast<uint64_t>(absl::ToUnixSeconds(now));
    properties.headers = {.num_entries = 1, .entries = &time};
    Check(amqp_basic_publish(state_, kChannel, amqp_empty_bytes, Bytes(topic), /*mandatory=*/true, false, &properties,
                             Bytes(payload)) == AMQP_STATUS_OK,
          "cannot publish");
    asked_.push_back(true);
    ++open_;
  }

  size_t open() const { return open_; }
  // Reads confirms: at least one if it `waits`, else what is there.
  void ReadConfirms(bool waits) {
    const timeval none = {};
    for (amqp_frame_t frame;; waits = false) {
      const int status = amqp_simple_wait_frame_noblock(state_, &frame, waits ? nullptr : &none);
      if (status == AMQP_STATUS_TIMEOUT) return;
      Check(status == AMQP_STATUS_OK, amqp_error_string2(status));
      Check(frame.frame_type == AMQP_FRAME_METHOD && frame.payload.method.id == AMQP_BASIC_ACK_METHOD,
            "something else than a confirm came");
      const auto& ack = *static_cast<const amqp_basic_ack_t*>(frame.payload.method.decoded);
      const size_t last = ack.delivery_tag - first_;
      for (size_t i = ack.multiple ? 0 : last; i <= last; ++i) {
        open_ -= asked_[i] ? 1 : 0;
        asked_[i] = false;
      }
      while (!asked_.empty() && !asked_.front()) {
        asked_.pop_front();
        ++first_;
      }
      amqp_maybe_release_buffers_on_channel(state_, kChannel);
      if (!amqp_frames_enqueued(state_) && !amqp_data_in_buffer(state_)) return;
    }
  }

  void Consume(std::string_view queue, int prefetch) {
    Check(amqp_basic_qos(state_, kChannel, 0, static_cast<uint16_t>(prefetch), false) != nullptr, "no prefetch");
    Check(amqp_basic_consume(state_, kChannel, Bytes(queue), amqp_empty_bytes, false, /*no_ack=*/false, false,
                             amqp_empty_table) != nullptr,
          "cannot consume");
  }
  // The next message: its delivery tag.
  uint64_t Read(size_t& bytes) {
    amqp_envelope_t envelope;
    amqp_maybe_release_buffers(state_);
    const amqp_rpc_reply_t reply = amqp_consume_message(state_, &envelope, nullptr, 0);
    Check(reply.reply_type == AMQP_RESPONSE_NORMAL, "nothing came");
    bytes += envelope.message.body.len;
    const uint64_t tag = envelope.delivery_tag;
    amqp_destroy_envelope(&envelope);
    return tag;
  }
  void Acknowledge(uint64_t tag) {
    Check(amqp_basic_ack(state_, kChannel, tag, /*multiple=*/true) == AMQP_STATUS_OK, "cannot acknowledge");
  }
  // With the server's answer everything before it was seen by the server.
  void CloseChannel() { amqp_channel_close(state_, kChannel, AMQP_REPLY_SUCCESS); }

 private:
  const amqp_connection_state_t state_;
  std::deque<bool> asked_;  // Of those published from first_ on: not confirmed yet.
  uint64_t first_ = 1;
  size_t open_ = 0;
};

void Send(const std::string& topic, int64_t messages) {
  Raw raw;
  raw.DeclareQueue(topic);
  raw.Confirm();
  const std::string payload(256, 'x');
  const bench::Usage usage;
  for (int64_t i = 0; i < messages; ++i) {
    if (raw.open() >= kWindow) raw.ReadConfirms(/*waits=*/true);
    raw.Publish(topic, payload, i);
  }
  while (raw.open() > 0) raw.ReadConfirms(/*waits=*/true);
  usage.Print(messages);
}

void Consume(const std::string& topic, int64_t messages) {
  const bench::Usage usage;
  Raw raw;
  raw.Consume(topic, kWindow);
  size_t bytes = 0;
  for (int64_t i = 1; i <= messages; ++i) {
    const uint64_t tag = raw.Read(bytes);
    if (i % kAcknowledged == 0 || i == messages) raw.Acknowledge(tag);
  }
  raw.CloseChannel();
  Check(bytes == 256 * static_cast<size_t>(messages), "other payloads");
  usage.Print(messages);
}

// One message at a time: sent by one connection while the other waits for it.
void Latency(const std::string& topic, int64_t messages) {
  Raw sender, reader;
  reader.DeclareQueue(topic);
  sender.Confirm();
  reader.Consume(topic, 1);
  const std::string payload(256, 'x');
  std::vector<double> micros;
  size_t bytes = 0;
  for (int64_t i = -100; i < messages; ++i) {
    absl::SleepFor(absl::Milliseconds(5));
    const absl::Time sent = absl::Now();
    sender.Publish(topic, payload, i + 100);
    const uint64_t tag = reader.Read(bytes);
    if (i >= 0) micros.push_back(absl::ToDoubleMicroseconds(absl::Now() - sent));
    reader.Acknowledge(tag);
    sender.ReadConfirms(/*waits=*/true);
  }
  bench::PrintLatency(std::move(micros));
}

void Drop(const std::string& topic) {
  Raw raw;
  Check(amqp_queue_delete(raw.state(), kChannel, Bytes(topic), false, false) != nullptr, "cannot delete");
}

}  // namespace

int main(int argc, char** argv) {
  return bench::RunRaw(argc, argv, {.send = Send, .consume = Consume, .latency = Latency, .drop = Drop});
}
