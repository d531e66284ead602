// What a subscription publishes: retries, dead letters, notes; each into a queue by its name, which is made when it is
// not there. On a connection of its own, opened when first needed: a server that takes no messages for a while goes on
// taking acknowledgements. The loop's thread alone may use it.
#ifndef RABBITMQ_COPIER_H_
#define RABBITMQ_COPIER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "messaging/broker/io/loop.h"
#include "rabbitmq/producer.h"
#include "rabbitmq/publisher.h"
#include "rabbitmq/wire.h"

namespace messaging::rabbitmq {

class Copier : private Publisher::Owner {
 public:
  struct Job {
    QueueSpec place;
    bool may_make = true;  // Declares the place when nothing takes the message.
    std::unique_ptr<Encoded> message;
    std::function<void(const absl::Status&)> done;
    // When it leaves the place, a delay queue: what sending it takes, and making the place, is taken off its delay.
    absl::Time due = absl::InfinitePast();
    bool made = false;
    int tries = 0;
    absl::Time not_before = absl::InfinitePast();
  };

  Copier(const RabbitmqOptions& options, Connector connect)
      : options_(options), connect_(std::move(connect)), publisher_(*this) {}

  // Others may use its connection's channels from Publisher::kFirstFree on.
  void set_on_other_frame(std::function<void(const amqp_frame_t&)> on_frame) {
    publisher_.on_other_frame = std::move(on_frame);
  }
  std::function<void()> on_lost;  // After the connection was lost.

  // Answered once; not OK: it may have been stored all the same.
  void Publish(Job job);
  bool idle() const { return waiting_.empty() && asked_.empty() && making_.empty(); }

  void Step(absl::Time now);
  absl::Time next_step() const { return next_step_; }
  Connection* connection() const { return publisher_.connection(); }
  void OnLost(const absl::Status& why);
  // Ends, answering what is left with `why`.
  void End(const absl::Status& why);

 private:
  void OnConfirm(uint64_t number, const absl::Status& status) override;
  void OnRefused(const absl::Status& why) override;
  void Connect(absl::Time now);
  void Send(Job job);
  void Make(Job job);
  void FailAsked(const absl::Status& why);

  const RabbitmqOptions& options_;
  const Connector connect_;
  Publisher publisher_;
  std::deque<Job> waiting_;
  std::map<uint64_t, Job> asked_;
  std::map<std::string, std::deque<Job>> making_;  // By their places, which are being declared.
  absl::Time asked_since_ = absl::InfinitePast();
  absl::Time next_read_ = absl::InfinitePast();
  absl::Time retry_at_ = absl::InfinitePast();
  absl::Time next_step_ = absl::InfiniteFuture();
  io::Backoff backoff_;
};

}  // namespace messaging::rabbitmq

#endif  // RABBITMQ_COPIER_H_
