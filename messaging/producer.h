// Sends messages to topics.
//
//   messaging::Producer& producer = messaging::GetProducer();
//   producer.Send("orders.created", {{"order_id", 7}, {"user_id", 3}});      // JSON: include messaging/json/json.h
//   absl::StatusOr<Receipt> receipt = producer.Send("orders.created", order, {.key = "7"}).Wait();
#ifndef MESSAGING_PRODUCER_H_
#define MESSAGING_PRODUCER_H_

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "messaging/codec.h"
#include "messaging/confirmation.h"
#include "messaging/message.h"

namespace messaging {

class Broker;
class Observer;
class Tracer;
namespace internal {
class JoiningSender;
}  // namespace internal

// What is said of one message besides its topic and body.
struct SendOptions {
  std::optional<std::string> key;
  std::vector<Header> headers;
  std::string content_type;                        // Empty: what the body's codec says.
  std::string id;                                  // Empty: a random one.
  absl::Time timestamp = absl::InfinitePast();     // InfinitePast: now.
  absl::Duration deadline = absl::ZeroDuration();  // Zero: ProducerOptions::deadline.
  bool wait_for_room = false;  // Buffer full: block until there is room or the deadline passed, instead of refusing.
  bool detached = false;       // Sent in a handler: do not let its outcome decide the handler's.
};

// What holds for all sends of a producer.
struct ProducerOptions {
  // What it promises.
  absl::Duration deadline = absl::Seconds(120);  // Until a send must be resolved; it rides over a broker's restart.
  // How much it may hold: sends that are not yet resolved, and callbacks (Then) that have not run, which count as a
  // message each. Past either, Send refuses with ResourceExhausted.
  size_t max_messages = 100'000;  // At most 16 million.
  size_t max_bytes = 64 << 20;
};

// What a plain braced body means, as in Send(topic, {{"order_id", 7}}): the JSON target (messaging/json/json.h) defines
// it.
template <typename Tag>
struct DefaultBody;

namespace internal {

// The codec sees the content type that the options ask for, if any.
template <typename Body>
absl::Status EncodeBody(std::string_view topic, const Body& body, const SendOptions& options, Message& message) {
  message.topic = std::string(topic);
  message.content_type = options.content_type;
  using T = std::decay_t<const Body&>;  // A literal becomes a const char*.
  static_assert(Encodable<T>,
                "messaging: no codec for what is sent: include messaging/json/json.h (nlohmann::json, structs with "
                "to_json) or messaging/protobuf/protobuf.h, or send a std::string of bytes");
  if constexpr (Encodable<T>) {
    try {
      return Codec<T>::Encode(body, message);
    } catch (const std::exception& exception) {
      return absl::InvalidArgumentError(std::string("encoding threw: ") + exception.what());
    }
  }
  return absl::OkStatus();
}

}  // namespace internal

// Thread-safe. Send copies the message once, never blocks (unless wait_for_room) and never throws. What is wrong with a
// message (InvalidArgument: topic, reserved header, larger than the send buffer) is its Confirmation's refusal. In a
// handler, sends join the handler's outcome unless detached, and carry on its message's trace (trace_context.h), unless
// they have a traceparent of their own.
class Producer {
 public:
  // `broker` must outlive the producer, and so must `observer` and `tracer`, which may be null.
  Producer(Broker* broker, ProducerOptions options, Observer* observer, Tracer* tracer = nullptr);
  // Every send is refused with `why`: what GetProducer returns when the configuration is wrong.
  explicit Producer(absl::Status why);
  ~Producer();  // Flushes for at most a second, then resolves the rest as unknown.

  // Sends `body`: any type with a codec (codec.h): protobuf messages, nlohmann::json and structs that convert to it
  // when their codec's header is included; strings and Cords are bytes.
  template <typename Tag = void, typename Body = typename DefaultBody<Tag>::type>
  Confirmation Send(std::string_view topic, const Body& body, SendOptions options = {}) {
    Message message;
    absl::Status encoded = internal::EncodeBody(topic, body, options, message);
    return SendEncoded(std::move(message), std::move(encoded), std::move(options));
  }
  // Sends a message made by hand; what the options say comes before what it says, their headers after its own.
  Confirmation Send(Message message, SendOptions options = {});

  // Waits until everything sent before is resolved. DeadlineExceeded, naming how many are open, after `limit`.
  absl::Status Flush(absl::Duration limit);
  size_t pending() const;  // Sends that are not resolved.
  // Tells this one from now on; null: none. It outlives the producer.
  void set_observer(Observer* observer);

 private:
  friend class internal::JoiningSender;
  Confirmation SendEncoded(Message message, absl::Status encoded, SendOptions options);

  class Core;  // Shared with the Outgoing messages, which may outlive the producer.
  std::shared_ptr<Core> core_;
};

// Collects the sends that one handler call made, so that they join its outcome (design: rule 3). Thread-safe. The
// engine makes one a call; handlers that send after returning, or from other threads, take it as a `Sender&`.
class Sender {
 public:
  virtual ~Sender() = default;
  // As Producer::Send; the outcome joins that of the handler which this Sender was injected into.
  template <typename Tag = void, typename Body = typename DefaultBody<Tag>::type>
  Confirmation Send(std::string_view topic, const Body& body, SendOptions options = {}) {
    Message message;
    absl::Status encoded = internal::EncodeBody(topic, body, options, message);
    return SendEncoded(std::move(message), std::move(encoded), std::move(options));
  }

 private:
  virtual Confirmation SendEncoded(Message message, absl::Status encoded, SendOptions options) = 0;
};

}  // namespace messaging

#endif  // MESSAGING_PRODUCER_H_
