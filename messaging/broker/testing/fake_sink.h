// A sink for tests of drivers: keeps what is delivered until the test settles it.
#ifndef MESSAGING_BROKER_TESTING_FAKE_SINK_H_
#define MESSAGING_BROKER_TESTING_FAKE_SINK_H_

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/delivery.h"

namespace messaging {

// Thread-safe. The room it has is what set_room said less what it holds, and comes back with Take and its kin: as with
// the engine, that alone makes the subscription go on only after Wake.
class FakeSink : public DeliverySink {
 public:
  void Deliver(std::vector<Delivery> batch) override;
  void Settled(std::vector<Settlement> batch) override;
  Room room() const override;
  void Revoke(std::function<bool(const Record&)> which) override;  // Drops what it holds of them.
  void Assigned(Assignment now) override;
  void Fail(absl::Status why) override;

  void set_room(Room room);

  // Waits until it holds `n` deliveries, at least. False: `limit` passed first.
  bool WaitForDeliveries(size_t n, absl::Duration limit = absl::Seconds(10)) const;
  // Until what it was assigned last is so.
  bool WaitForAssignment(const std::function<bool(const Assignment&)>& wanted,
                         absl::Duration limit = absl::Seconds(10)) const;
  // The same for answers.
  bool WaitForAnswers(size_t n, absl::Duration limit = absl::Seconds(10)) const;

  std::vector<Delivery> TakeAll();  // In the order of their delivery.
  Delivery TakeFirst();             // Empty: there is none.
  std::vector<Settlement> TakeAnswers();
  std::vector<std::string> payloads() const;  // Of what it holds.
  std::vector<size_t> batches() const;        // The sizes of all that was delivered.
  size_t revokes() const;
  Assignment assignment() const;  // The last; `missing` says so before the first.
  absl::Status failure() const;   // What Fail said; OK: nothing.

 private:
  mutable absl::Mutex mutex_;
  std::vector<Delivery> deliveries_ ABSL_GUARDED_BY(mutex_);
  std::vector<Settlement> answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<size_t> batches_ ABSL_GUARDED_BY(mutex_);
  Room room_ ABSL_GUARDED_BY(mutex_) = {.messages = 1'000'000, .bytes = size_t{1} << 30};
  size_t revokes_ ABSL_GUARDED_BY(mutex_) = 0;
  Assignment assignment_ ABSL_GUARDED_BY(mutex_) = {.missing = "nothing was said"};
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace messaging

#endif  // MESSAGING_BROKER_TESTING_FAKE_SINK_H_
