// Sends what transactions have written into an outbox.
//
//   absl::StatusOr<std::unique_ptr<outbox::Relay>> relay =
//       outbox::Relay::Start({.database = "postgres://localhost/orders"}, messaging::GetProducer());
#ifndef OUTBOX_RELAY_H_
#define OUTBOX_RELAY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/producer.h"
#include "sql/connection.h"

namespace messaging::outbox {

// How a relay works; only the database has to be given.
struct RelayOptions {
  std::string database;  // As sql::Open takes it; the relay has a connection of its own.
  size_t batch = 1'000;  // Messages read, and in flight, at once.
  // Those that are not elected try again so often: what a relay's death costs, at most, beyond its lock's release.
  absl::Duration election_pause = absl::Seconds(1);
  // The outbox is looked at when somebody commits, and besides so often.
  absl::Duration safety_pause = absl::Seconds(5);
  // Called by the elected relay at its start and then each hour, as inbox::Clean wants to be. May be null.
  std::function<absl::Status(sql::Connection&)> housekeeping;
  // For tests: told "elected", "read", "sent", "confirmed", "deleted" as they happen.
  std::function<void(std::string_view)> on_step;
};

// Every process of a service may run one; of those over one database one is elected, by a lock that ends with its
// process. Messages are sent at least once, under their own ids, those of one key in order: the next one only when the
// broker has accepted the one before. What it refuses for good (InvalidArgument) is kept with the reason and lets
// others pass; whatever else goes wrong is tried again for ever, and holds its key. Rows are deleted when accepted.
// A relay that was cut off from its server, and another elected meanwhile, may send the same messages at the same time.
class Relay {
 public:
  // Returns at once; a database or broker that does not answer is tried until it does. InvalidArgument: the database
  // URL. `producer` outlives it.
  static absl::StatusOr<std::unique_ptr<Relay>> Start(RelayOptions options, Producer& producer);
  // What the broker has not answered within `limit` stays, to be sent again.
  ~Relay();
  void Stop(absl::Duration limit = absl::Seconds(5));

  bool elected() const;
  int64_t sent() const;         // By this relay.
  absl::Status status() const;  // Of its last round: what keeps it from sending.

 private:
  class Impl;
  explicit Relay(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace messaging::outbox

#endif  // OUTBOX_RELAY_H_
