// What a service includes: asynchronous messaging with typed handlers over the broker that is linked in.
//
//   messaging::Configure({.url = "sqlite://orders.db"});   // optional: the environment may say it
//   messaging::GetProducer().Send("orders.created", {{"order_id", 7}});
//
// Add messaging/json/json.h or messaging/protobuf/protobuf.h for typed bodies.
#ifndef MESSAGING_MESSAGING_H_
#define MESSAGING_MESSAGING_H_

#include "absl/status/status.h"
#include "messaging/client.h"
#include "messaging/handler.h"
#include "messaging/message.h"
#include "messaging/producer.h"
#include "messaging/provide.h"
#include "messaging/received.h"

namespace messaging {

// Sets up the default client. Once, before it is first used: FailedPrecondition afterwards. After an error or Shutdown
// it may be called again. Thread-safe.
absl::Status Configure(ClientOptions options);

// The default client, made from the environment when Configure was not called; an error says what is wrong.
absl::StatusOr<Client*> DefaultClient();

// The default client's producer. Never fails: with a wrong configuration it is one that refuses each send with the
// reason.
Producer& GetProducer();

// Stops, flushes and destroys the default client, for the end of main; what is not answered within a second resolves as
// unknown. A program that forgets it still waits for its sends, for at most a second, in an exit handler.
void Shutdown();

}  // namespace messaging

#endif  // MESSAGING_MESSAGING_H_
