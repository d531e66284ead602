// A connection that messages go out on, with confirms: each is answered once, by its number. The loop's thread alone
// may use it.
#ifndef RABBITMQ_PUBLISHER_H_
#define RABBITMQ_PUBLISHER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "rabbitmq/channel.h"
#include "rabbitmq/connection.h"
#include "rabbitmq/topology.h"
#include "rabbitmq/wire.h"

namespace messaging::rabbitmq {

class Publisher {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    // OK: the server has it, as safe as its queue makes it. NotFound: no queue takes it. Unavailable: it was nacked.
    virtual void OnConfirm(uint64_t number, const absl::Status& status) = 0;
    // The server closed the channel over one of those that are on their way; none of them is answered. It is open
    // again.
    virtual void OnRefused(const absl::Status& why) = 0;
  };

  explicit Publisher(Owner& owner) : owner_(owner) {}
  // Frames of channels from kFirstFree on, which are others'.
  static constexpr int kFirstFree = 3;
  std::function<void(const amqp_frame_t&)> on_other_frame;

  void Attach(std::unique_ptr<Connection> connection);
  void Detach();  // Without answers.
  Connection* connection() const { return connection_.get(); }

  // Mandatory. Gives its number: one more than the last. 0: its properties do not fit into a frame.
  uint64_t Publish(std::string_view exchange, std::string_view routing_key, Encoded& message);
  size_t unconfirmed() const { return slots_.size(); }
  // On a channel of its own: what goes wrong with it disturbs no message.
  void DeclareExchange(const std::string& name, Channel::Done done);
  void Declare(const QueueSpec& spec, Channel::Done done);

 private:
  struct Slot {
    size_t hash = 0;  // Of routing key and id: a message that is returned is known by them.
    bool returned = false;
    bool done = false;
  };

  void OnFrame(const amqp_frame_t& frame);
  void OnMessageFrame(const amqp_frame_t& frame);
  void OpenMessages();
  void OnConfirm(uint64_t tag, bool multiple, bool taken);
  void Answer(size_t index, bool taken);
  void NoteReturned(std::string_view id);

  Owner& owner_;
  std::unique_ptr<Connection> connection_;
  std::unique_ptr<Channel> messages_;
  std::unique_ptr<Channel> places_;
  std::deque<Slot> slots_;
  uint64_t first_ = 1;  // The number of slots_[0].
  uint64_t base_ = 0;   // The server counts from 1 in each life of the channel.
  std::string returned_key_;
  bool returning_ = false;
};

}  // namespace messaging::rabbitmq

#endif  // RABBITMQ_PUBLISHER_H_
