// A message in hand and its settling: what drivers give to the engine and get back.
#ifndef MESSAGING_BROKER_DELIVERY_H_
#define MESSAGING_BROKER_DELIVERY_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "messaging/record.h"

namespace messaging {

// Why an attempt failed, as kept in retries and dead letters.
struct Failure {
  std::string handler;
  absl::Status status;
  int attempts = 0;  // Started so far, this one included.
  absl::Time first = absl::InfinitePast();
  absl::Time last = absl::InfinitePast();
};

// What has to be stored, for one handler, before the original counts as done.
struct Copy {
  enum class Kind { kRetry, kDeadLetter };
  Kind kind = Kind::kRetry;
  absl::Duration delay = absl::ZeroDuration();  // kRetry: by the broker's clock, from when it is stored.
  Failure failure;
  bool suspect =
      false;  // The copy is to be handled alone (a suspect that several handlers share is split into copies).
};

struct Settlement;

// Owns one Record of a driver. Move-only; a verdict is given by move, once; destruction without one, on any thread, is
// a release (RecordOwner::Drop).
class Delivery {
 public:
  Delivery() = default;
  explicit Delivery(Record* record) : record_(record) {}
  Delivery(Delivery&& other) noexcept : record_(std::exchange(other.record_, nullptr)) {}
  Delivery& operator=(Delivery&& other) noexcept {
    if (this != &other) {
      DropNow();
      record_ = std::exchange(other.record_, nullptr);
    }
    return *this;
  }
  ~Delivery() { DropNow(); }

  explicit operator bool() const { return record_ != nullptr; }
  Record* record() const { return record_; }
  // For drivers: the record has been settled, or goes back to the driver's own keeping.
  Record* Take() { return std::exchange(record_, nullptr); }

  // The four verbs, and Begin.
  Settlement Ack() &&;  // Handled.
  Settlement RetryAfter(absl::Duration delay,
                        Failure failure) &&;  // Again, for failure.handler, after at least `delay`.
  Settlement DeadLetter(Failure failure) &&;  // Kept, with why.
  Settlement Release() &&;                    // Back to the broker: no attempt counted, at once.
  // Not a verdict: note durably that `attempts` attempts of `handler` have started, and that the next may not begin
  // before `wait` has passed (Record::not_before, should it be delivered again). The delivery comes back with the
  // answer.
  Settlement Begin(std::string handler, int attempts, absl::Duration wait = absl::ZeroDuration()) &&;

 private:
  void DropNow() {
    if (Record* record = std::exchange(record_, nullptr)) record->owner->Drop(record);
  }
  Record* record_ = nullptr;
};

// One verdict on its way to the driver, and the driver's answer on its way back.
struct Settlement {
  enum class Verdict { kAck, kRelease, kBegin };
  Delivery delivery;
  Verdict verdict = Verdict::kAck;
  // kAck: stored first, each accepted by the broker, then the original is done; atomically where the broker can.
  // kBegin: one entry, kind kRetry: its failure has handler and attempts, its delay is the wait. Null: none (the
  // usual case costs no allocation).
  std::unique_ptr<std::vector<Copy>> copies;
  // The answer. OK: done. Else the delivery is still in hand, and the engine will settle it again after a pause; a copy
  // may have been stored all the same (at least once). Cancelled: the record is no longer ours (its partition was
  // revoked, its claim taken over): nothing was done, nothing more to do.
  absl::Status status;
  // The engine's own: what it counts for in the budget, whose it is, which task asked, whether it was refused before.
  // Drivers carry them along.
  size_t bytes = 0;
  int subscription = 0;
  void* context = nullptr;
  bool refused = false;
};

}  // namespace messaging

#endif  // MESSAGING_BROKER_DELIVERY_H_
