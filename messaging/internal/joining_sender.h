// The Sender that is injected into handlers.
#ifndef MESSAGING_INTERNAL_JOINING_SENDER_H_
#define MESSAGING_INTERNAL_JOINING_SENDER_H_

#include <utility>

#include "absl/status/status.h"
#include "messaging/confirmation.h"
#include "messaging/internal/send_join.h"
#include "messaging/message.h"
#include "messaging/producer.h"

namespace messaging::internal {

// Sends through `producer`; what it sends, on whatever thread, joins `join` unless detached. Both outlive it.
class JoiningSender : public Sender {
 public:
  JoiningSender(Producer& producer, SendJoin& join) : producer_(producer), join_(join) {}

 private:
  Confirmation SendEncoded(Message message, absl::Status encoded, SendOptions options) override {
    ScopedSendJoin joined(&join_);
    return producer_.SendEncoded(std::move(message), std::move(encoded), std::move(options));
  }

  Producer& producer_;
  SendJoin& join_;
};

}  // namespace messaging::internal

#endif  // MESSAGING_INTERNAL_JOINING_SENDER_H_
