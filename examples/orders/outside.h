// Stand-ins for two services outside the shop: one sends mail, one charges cards. Both take a key with each request and
// do nothing the second time, as real ones do: so a message that comes twice moves no money twice.
#ifndef EXAMPLES_ORDERS_OUTSIDE_H_
#define EXAMPLES_ORDERS_OUTSIDE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "examples/orders/database.h"

namespace orders {

// Where both keep what they did: a SQLite file of their own, made when first needed. Thread-safe.
class Ledger {
 public:
  explicit Ledger(std::string path) : path_(std::move(path)) {}

 protected:
  absl::StatusOr<Database*> Opened() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string path_;
  absl::Mutex mutex_;

 private:
  std::unique_ptr<Database> db_ ABSL_GUARDED_BY(mutex_);
};

class Mailer : public Ledger {
 public:
  using Ledger::Ledger;
  // Sends a mail, once for each order.
  absl::Status SendConfirmation(int64_t order_id, std::string_view to);
};

class Gateway : public Ledger {
 public:
  using Ledger::Ledger;
  // Charges a card, once for each order. Unavailable: not charged, try again. Order 7, 57, 107, ... is refused the
  // first time; order 13, 513, 1013, ... each time, until a file `PATH.mended` exists.
  absl::Status Charge(int64_t order_id, int64_t amount_cents, std::string_view card_token);

  static bool FailsOnce(int64_t order_id) { return order_id % 50 == 7; }
  static bool FailsAlways(int64_t order_id) { return order_id % 500 == 13; }
};

}  // namespace orders

#endif  // EXAMPLES_ORDERS_OUTSIDE_H_
