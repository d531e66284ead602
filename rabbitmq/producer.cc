#include "rabbitmq/producer.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "messaging/broker/clock.h"
#include "messaging/log.h"
#include "rabbitmq/topology.h"
#include "rabbitmq/wire.h"

namespace messaging::rabbitmq {
namespace {

constexpr size_t kMaxUnsentBytes = 1 << 20;                 // More would only wait in the socket's buffer.
constexpr absl::Duration kPause = absl::Milliseconds(200);  // Before what was refused for a while is sent again.

bool ForGood(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnauthenticated || status.code() == absl::StatusCode::kPermissionDenied ||
         status.code() == absl::StatusCode::kNotFound;  // No such virtual host.
}

absl::Time Now() { return Clock::Steady().Now(); }

}  // namespace

void Producer::Publish(OutgoingPtr message) {
  bool first = false;
  {
    absl::MutexLock lock(&mutex_);
    first = queued_.empty();
    queued_.push_back(std::move(message));
  }
  if (first) loop_.Notify();
}

void Producer::DropAll() {
  RefuseAll(absl::DeadlineExceededError("the client was closed before the server answered"));
  publisher_.Detach();
}

void Producer::SayGoodbye() {
  if (publisher_.connection() == nullptr) return;
  publisher_.connection()->Close();
  (void)publisher_.connection()->Flush();
}

std::vector<io::Stream*> Producer::Streams() {
  if (publisher_.connection() == nullptr) return {};
  return {publisher_.connection()};
}

void Producer::TakeQueued() {
  absl::MutexLock lock(&mutex_);
  waiting_.insert(waiting_.end(), std::make_move_iterator(queued_.begin()), std::make_move_iterator(queued_.end()));
  queued_.clear();
}

void Producer::Step(absl::Time now) {
  TakeQueued();
  next_step_ = absl::InfiniteFuture();
  if (publisher_.connection() == nullptr && !waiting_.empty()) Connect(now);
  Connection* const connection = publisher_.connection();
  if (connection == nullptr) return;
  if (now >= next_read_) {  // Heartbeats go out, and are missed, when it reads.
    if (const absl::Status status = connection->Read(); !status.ok()) return OnLost(connection, status);
    next_read_ = now + connection->tick();
  }
  next_step_ = next_read_;
  if (std::exchange(blocked_, connection->blocked()) != connection->blocked()) {
    asked_since_ = now;
    Log(Severity::kWarning,
        blocked_ ? absl::StrCat(options_.Address(), " takes no messages for now: ", connection->blocked_why())
                 : absl::StrCat(options_.Address(), " takes messages again"));
  }
  const bool asks = open_ > 0 || !ready_;
  if (asks && !blocked_ && now > asked_since_ + options_.response_timeout) {
    return OnLost(connection, connection->Overdue());
  }
  if (asks) next_step_ = std::min(next_step_, asked_since_ + options_.response_timeout + absl::Milliseconds(1));
  if (now < retry_at_) {
    next_step_ = std::min(next_step_, retry_at_);
    return;
  }
  if (ready_ && again_.empty() && !blocked_) SendNext(now);
}

void Producer::Connect(absl::Time now) {
  if (now < retry_at_) {
    next_step_ = retry_at_;
    return;
  }
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect_("send");
  if (!connection.ok()) {
    retry_at_ = next_step_ = Now() + backoff_.Next();
    Complain(connection.status());
    // Who we are, or whom we talk to, is wrong: time does not mend it.
    if (ForGood(connection.status())) RefuseAll(connection.status());
    return;
  }
  blocked_ = false;
  next_read_ = absl::InfinitePast();
  asked_since_ = Now();
  publisher_.Attach(*std::move(connection));
  publisher_.DeclareExchange(options_.exchange, [this](const absl::Status& status) {
    // Without the right to make it, it has to be there: sending tells.
    ready_ = true;
    if (!status.ok() && status.code() != absl::StatusCode::kPermissionDenied) {
      Complain(status);
      if (status.code() == absl::StatusCode::kFailedPrecondition) RefuseAll(status);
    }
    if (std::exchange(complained_, false)) {
      Log(Severity::kInfo, absl::StrCat(options_.Address(), ": connected again, sending goes on"));
    }
    loop_.Notify();
  });
}

void Producer::Complain(const absl::Status& why) {
  if (!std::exchange(complained_, true)) {
    Log(Severity::kWarning, absl::StrCat("cannot send, and tries again: ", why.message()));
  }
}

void Producer::RefuseAll(const absl::Status& why) {
  TakeQueued();
  std::vector<OutgoingPtr> all = std::exchange(again_, {});
  std::move(asked_.begin(), asked_.end(), std::back_inserter(all));
  std::move(waiting_.begin(), waiting_.end(), std::back_inserter(all));
  first_ += asked_.size();
  asked_.clear();
  open_ = 0;
  waiting_.clear();
  for (const OutgoingPtr& outgoing : all) {
    if (outgoing != nullptr) outgoing->Complete(why);
  }
}

Producer::Topic& Producer::TopicOf(const std::string& name) {
  Topic& topic = topics_[name];
  if (topic.routing_keys.empty()) {
    topic.exchange = ExchangeOf(options_, name);
    const int partitions = options_.PartitionsOf(name);
    if (partitions == 0) topic.routing_keys.push_back(RoutingKey(options_, name, -1));
    for (int i = 0; i < partitions; ++i) topic.routing_keys.push_back(RoutingKey(options_, name, i));
  }
  return topic;
}

void Producer::SendNext(absl::Time now) {
  if (open_ == 0) asked_since_ = now;
  while (!waiting_.empty() && open_ < static_cast<size_t>(options_.confirm_window) &&
         publisher_.connection()->unsent() < kMaxUnsentBytes) {
    OutgoingPtr outgoing = std::move(waiting_.front());
    waiting_.pop_front();
    if (outgoing->resolved()) continue;  // Its deadline has passed.
    if (!SendOne(outgoing)) continue;
    asked_.push_back(std::move(outgoing));
    ++open_;
  }
}

bool Producer::SendOne(const OutgoingPtr& outgoing) {
  const Message& message = outgoing->message();
  Topic& topic = TopicOf(message.topic);
  size_t which = 0;
  if (topic.routing_keys.size() > 1) {
    which = message.key ? static_cast<size_t>(PartitionOf(*message.key, static_cast<int>(topic.routing_keys.size())))
                        : topic.next++ % topic.routing_keys.size();
  }
  Encoded encoded(message);
  const uint64_t number = publisher_.Publish(topic.exchange, topic.routing_keys[which], encoded);
  if (number == 0) {
    outgoing->Complete(absl::InvalidArgumentError(absl::StrCat(
        "the message's key and headers do not fit into one frame of ", options_.frame_size, " bytes (frame_size)")));
    return false;
  }
  if (asked_.empty()) first_ = number;
  return true;
}

void Producer::OnConfirm(uint64_t number, const absl::Status& status) {
  if (number < first_ || number - first_ >= asked_.size()) return;
  OutgoingPtr outgoing = std::move(asked_[number - first_]);
  if (outgoing == nullptr) return;
  --open_;
  asked_since_ = Now();
  backoff_.Reset();
  if (!again_.empty()) {
    again_.push_back(std::move(outgoing));  // Stored or not: in order means behind the one that was refused.
  } else if (status.ok()) {
    outgoing->Complete(Receipt{});
  } else if (status.code() == absl::StatusCode::kNotFound) {
    const std::string& topic = outgoing->message().topic;
    outgoing->Complete(absl::NotFoundError(
        absl::StrCat("topic ", topic, ": no queue takes the message, so nobody would get it: start a consumer of the ",
                     "topic once, or declare a group's place: core topics declare ", topic, " --group GROUP")));
  } else if (outgoing->deadline() > Now() + 2 * kPause) {
    Complain(status);
    again_.push_back(std::move(outgoing));
  } else {
    outgoing->Complete(status);  // The server's reason says more than that the deadline has passed.
  }
  while (!asked_.empty() && asked_.front() == nullptr) {
    asked_.pop_front();
    ++first_;
  }
  if (open_ == 0) ReturnAgain();
  if (!waiting_.empty()) loop_.Notify();
}

void Producer::ReturnAgain() {
  if (again_.empty()) return;
  waiting_.insert(waiting_.begin(), std::make_move_iterator(again_.begin()), std::make_move_iterator(again_.end()));
  again_.clear();
  retry_at_ = Now() + kPause;
  loop_.Notify();
}

// Puts what was not answered in front of what waits, in its order.
void Producer::SendAllAgain() {
  std::vector<OutgoingPtr> all = std::exchange(again_, {});
  for (OutgoingPtr& outgoing : asked_) {
    if (outgoing != nullptr) all.push_back(std::move(outgoing));
  }
  first_ += asked_.size();
  asked_.clear();
  open_ = 0;
  waiting_.insert(waiting_.begin(), std::make_move_iterator(all.begin()), std::make_move_iterator(all.end()));
}

// The server names what it closed the channel over; where it does not, the first on its way is taken for it.
bool Producer::IsCulprit(const Outgoing& outgoing, const absl::Status& why) {
  const Message& message = outgoing.message();
  Topic& topic = TopicOf(message.topic);
  auto named = [&](std::string_view what, std::string_view name) {
    return absl::StrContains(why.message(), absl::StrCat(what, " '", name, "'"));
  };
  if (absl::StrContains(why.message(), "topic '")) {
    return std::any_of(topic.routing_keys.begin(), topic.routing_keys.end(),
                       [&](const std::string& key) { return named("topic", key); });
  }
  if (absl::StrContains(why.message(), "exchange '")) return named("exchange", topic.exchange);
  if (why.code() == absl::StatusCode::kInvalidArgument) {
    return absl::StrContains(why.message(), absl::StrCat("size ", message.payload.size(), " "));
  }
  return false;
}

void Producer::OnRefused(const absl::Status& why) {
  const bool exchange_is_gone = why.code() == absl::StatusCode::kNotFound &&
                                absl::StrContains(why.message(), absl::StrCat("exchange '", options_.exchange, "'"));
  if (exchange_is_gone) {
    SendAllAgain();
    ready_ = false;
    asked_since_ = Now();
    publisher_.DeclareExchange(options_.exchange, [this](const absl::Status& status) {
      ready_ = true;
      if (!status.ok()) return RefuseAll(status);
      Log(Severity::kWarning, absl::StrCat(options_.Address(), ": exchange ", options_.exchange,
                                           " was gone and is made again, without what was bound to it"));
      loop_.Notify();
    });
    return;
  }
  bool found = false;
  for (OutgoingPtr& outgoing : asked_) {
    if (outgoing == nullptr || !IsCulprit(*outgoing, why)) continue;
    found = true;
    std::exchange(outgoing, nullptr)->Complete(why);
  }
  for (OutgoingPtr& outgoing : asked_) {
    if (found || outgoing == nullptr) continue;
    found = true;
    std::exchange(outgoing, nullptr)->Complete(why);
  }
  SendAllAgain();
  loop_.Notify();
}

void Producer::OnLost(io::Stream*, const absl::Status& why) {
  publisher_.Detach();
  ready_ = false;
  retry_at_ = Now() + backoff_.Next();
  next_step_ = retry_at_;
  SendAllAgain();
  if (!waiting_.empty()) Complain(why);
}

}  // namespace messaging::rabbitmq
