// A subscription's queues: how they are joined, looked after and left.
#include <algorithm>
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
#include "rabbitmq/member.h"
#include "rabbitmq/topology.h"

namespace messaging::rabbitmq {
namespace {

constexpr int kFirstPrefetch = 16;      // Before it is known how large messages are.
constexpr int kPartitionPrefetch = 50;  // A consumer that changed it would lose its partition.
constexpr int kMostPrefetch = 20'000;
constexpr int kMostConsumers = 3;   // Of this member, for one queue.
constexpr size_t kFewSingles = 16;  // The server sends so many on at once, and more.
constexpr absl::Duration kPrefetchStays = absl::Milliseconds(100);
// A topic that is closed for longer gives back what came ahead, for others; a rate limit closes it for moments only.
constexpr absl::Duration kRest = absl::Seconds(1);

absl::Time Now() { return Clock::Steady().Now(); }

// What the 406 for a message that was held too long says; zero: it is about something else.
absl::Duration ConsumerTimeoutOf(std::string_view text) {
  constexpr std::string_view kBefore = "Timeout value used: ";
  const size_t at = text.find(kBefore);
  if (!absl::StrContains(text, "delivery acknowledgement") || at == std::string_view::npos) {
    return absl::ZeroDuration();
  }
  text.remove_prefix(at + kBefore.size());
  int64_t milliseconds = 0;
  return absl::SimpleAtoi(text.substr(0, text.find(' ')), &milliseconds) ? absl::Milliseconds(milliseconds)
                                                                         : absl::ZeroDuration();
}

}  // namespace

void Member::OnFrame(const amqp_frame_t& frame) {
  if (!broken_.ok()) return;
  const size_t index = frame.channel - 1u;
  if (index < queues_.size()) return OnQueueFrame(static_cast<int>(index), frame);
  if (index == queues_.size()) {
    if (frame.frame_type != AMQP_FRAME_METHOD || setup_->OnMethod(frame.payload.method)) return;
    if (frame.payload.method.id == AMQP_BASIC_CANCEL_METHOD) counted_.clear();  // The members' queue was deleted.
  }
}

void Member::OnQueueFrame(int number, const amqp_frame_t& frame) {
  Queue& queue = queues_[number];
  if (queue.channel == nullptr) return;
  if (frame.frame_type != AMQP_FRAME_METHOD) return OnContent(number, frame);
  const amqp_method_t& method = frame.payload.method;
  if (queue.channel->OnMethod(method)) return;
  if (method.id == AMQP_BASIC_DELIVER_METHOD) {
    const auto& deliver = *static_cast<const amqp_basic_deliver_t*>(method.decoded);
    queue.coming = std::make_unique<RabbitRecord>();
    queue.coming->tag = deliver.delivery_tag;
    queue.coming->redelivered = deliver.redelivered != 0;
  } else if (method.id == AMQP_BASIC_CANCEL_METHOD) {
    Log(Severity::kWarning, absl::StrCat("the queue ", queue.name, " of group ", subscribe_.group,
                                         " was deleted or moved while it was consumed: it is joined again"));
    LoseChannel(queue, /*revoke=*/false);
    queue.state = Queue::State::kClosing;
    amqp_channel_close_t close = {.reply_code = AMQP_REPLY_SUCCESS, .reply_text = Bytes("the queue is gone")};
    queue.channel->Ask(AMQP_CHANNEL_CLOSE_METHOD, &close,
                       [this, number](const absl::Status&, const amqp_method_t*) { Rejoin(number, Now()); });
  }
}

void Member::OnContent(int number, const amqp_frame_t& frame) {
  Queue& queue = queues_[number];
  if (queue.coming == nullptr) return;
  RabbitRecord& record = *queue.coming;
  if (frame.frame_type == AMQP_FRAME_HEADER) {
    record.topic = subscribe_.topics[queue.topic].topic;
    record.partition = queue.partition;
    record.owner = this;
    record.queue = number;
    record.channel_life = queue.life;
    const auto& properties = *static_cast<const amqp_basic_properties_t*>(frame.payload.properties.decoded);
    ReadProperties(properties, frame.payload.properties.raw, frame.payload.properties.body_size, record);
    queue.body_left = frame.payload.properties.body_size;
  } else {
    const std::string_view part = View(frame.payload.body_fragment);
    AppendBody(record, part);
    queue.body_left -= std::min<uint64_t>(queue.body_left, part.size());
  }
  if (queue.body_left > 0) return;
  FinishBody(record);
  record.pinned_bytes = sizeof(RabbitRecord) + record.bytes.size();
  record.arrived = Now();
  record.checked = !record.redelivered;
  const auto bytes = static_cast<double>(record.pinned_bytes);
  mean_bytes_ = std::max(bytes, mean_bytes_ * 0.9 + bytes * 0.1);
  queue.active = true;
  queue.out.push_back(Queue::Out::kOpen);
  record.next = in_hand_;
  if (in_hand_ != nullptr) in_hand_->previous = &record;
  in_hand_ = &record;
  queue.pending.push_back(queue.coming.release());
}

// Whether it is there is asked first: that something was made, or is gone, is worth a line.
void Member::Join(int number) {
  Queue& queue = queues_[number];
  queue.state = Queue::State::kJoining;
  queue.channel = std::make_unique<Channel>(*connection_, number + 1);
  queue.channel->on_closed = [this, number](const absl::Status& why) { OnChannelClosed(number, why); };
  queue.channel->Open();
  queue.channel->DeclareQueue(
      {.name = queue.name}, /*passive=*/true, [this, number](const absl::Status& status, QueueFigures) {
        Queue& queue = queues_[number];
        const bool there = status.ok();
        if (!there && (queue.foreign || status.code() != absl::StatusCode::kNotFound)) {
          return JoinFailed(number, status);
        }
        if (!there && was_connected_) {
          Log(Severity::kWarning,
              absl::StrCat("the queue ", queue.name, " is gone, with what was in it, and is made again"));
        }
        queue.existed = there;
        if (queue.foreign) return Consume(number);
        if (queue.keeps_limit && there) return Bind(number);
        Declare(number);
      });
}

QueueSpec Member::SpecOf(const Queue& queue) const {
  return GroupQueue(options_, subscribe_.topics[queue.topic].topic, subscribe_.group, queue.partition, version_);
}

void Member::Declare(int number) {
  Queue& queue = queues_[number];
  if (!queue.channel->open()) queue.channel->Open();
  queue.channel->DeclareQueue(
      SpecOf(queue), /*passive=*/false, [this, number](const absl::Status& status, QueueFigures) {
        Queue& queue = queues_[number];
        if (status.ok()) return Bind(number);
        if (status.code() == absl::StatusCode::kFailedPrecondition &&
            absl::StrContains(status.message(), "x-delivery-limit")) {
          queue.keeps_limit = true;
          Log(Severity::kWarning,
              absl::StrCat("the queue ", queue.name, " keeps the delivery limit that it was made with: a message that ",
                           "is delivered more often is dropped by the server (", status.message(), ")"));
          return Bind(number);
        }
        // Without the right to make it, it has to be as it should be.
        if (status.code() == absl::StatusCode::kPermissionDenied && queue.existed) return Consume(number);
        if (status.code() == absl::StatusCode::kFailedPrecondition) {
          return JoinFailed(number, absl::FailedPreconditionError(absl::StrCat(
                                        "the queue ", queue.name, " is there with other arguments than group ",
                                        subscribe_.group, " needs (consume it as it is by the topic's setting queue, ",
                                        "or delete it when it is empty): ", status.message())));
        }
        JoinFailed(number, status);
      });
}

void Member::Bind(int number) {
  Queue& queue = queues_[number];
  if (!queue.channel->open()) queue.channel->Open();
  const std::string& topic = subscribe_.topics[queue.topic].topic;
  queue.channel->Bind(queue.name, ExchangeOf(options_, topic), RoutingKey(options_, topic, queue.partition),
                      [this, number](const absl::Status& status) {
                        Queue& queue = queues_[number];
                        if (status.code() == absl::StatusCode::kPermissionDenied && queue.existed) {
                          return Consume(number);  // Who may not bind it takes it as bound.
                        }
                        if (!status.ok()) return JoinFailed(number, status);
                        if (!queue.existed && !was_connected_) {
                          Log(Severity::kInfo, absl::StrCat("group ", subscribe_.group, " begins with the queue ",
                                                            queue.name, ": what was sent before is not for it"));
                        }
                        Consume(number);
                      });
}

void Member::Consume(int number) {
  Queue& queue = queues_[number];
  if (!queue.channel->open()) queue.channel->Open();
  queue.prefetch = 0;
  queue.first_consumer = queue.consumer + 1;
  AddConsumer(number, WantedPrefetch(queue));
}

void Member::AddConsumer(int number, int prefetch) {
  Queue& queue = queues_[number];
  queue.prefetch += prefetch;
  queue.fixed_until = Now() + kPrefetchStays;
  queue.channel->Consume(queue.name, absl::StrCat(++queue.consumer), prefetch, amqp_empty_table,
                         [this, number](const absl::Status& status) {
                           if (!status.ok()) return JoinFailed(number, status);
                           OnJoined(number);
                         });
}

void Member::OnJoined(int number) {
  Queue& queue = queues_[number];
  if (queue.state != Queue::State::kJoining && queue.state != Queue::State::kCancelling) return;
  queue.state = Queue::State::kConsuming;
  loop_->Notify();
  if (!std::exchange(queue.joined, true)) --unjoined_;
  if (unjoined_ > 0) return;
  backoff_.Reset();
  if (std::exchange(complained_, false)) {
    Log(Severity::kInfo, absl::StrCat(options_.Address(), ": connected again, group ", subscribe_.group, " consumes"));
  }
  was_connected_ = true;
  TellAssignment();
  if (!std::exchange(started_, true)) {
    absl::MutexLock lock(&mutex_);
    start_done_ = true;
  }
}

void Member::JoinFailed(int number, const absl::Status& why) {
  Queue& queue = queues_[number];
  const absl::Status told(why.code(), absl::StrCat(why.message(), " (", queue.name, ")"));
  if (!started_ || why.code() == absl::StatusCode::kFailedPrecondition) {
    broken_ = told;
    return;
  }
  Log(Severity::kWarning, absl::StrCat("the queue cannot be joined, and is tried again: ", told.message()));
  LoseChannel(queue, /*revoke=*/true);
  Rejoin(number, Now() + backoff_.Next());
}

void Member::Rejoin(int number, absl::Time when) {
  queues_[number].state = Queue::State::kClosed;
  queues_[number].join_at = when;
  loop_->Notify();
}

// Those that waited for answers were told before.
void Member::OnChannelClosed(int number, const absl::Status& why) {
  Queue& queue = queues_[number];
  if (queue.state == Queue::State::kJoining || queue.state == Queue::State::kClosed) return;
  if (const absl::Duration timeout = ConsumerTimeoutOf(why.message()); timeout > absl::ZeroDuration()) {
    consumer_timeout_ = timeout;
    Log(Severity::kWarning,
        absl::StrCat("the queue ", queue.name, ": messages were held longer than the server's consumer_timeout of ",
                     absl::FormatDuration(timeout), ", and are delivered once more"));
  } else {
    Log(Severity::kWarning, absl::StrCat("the queue ", queue.name, " is joined again: ", why.message()));
  }
  LoseChannel(queue, /*revoke=*/true);
  sink_->Revoke([](const Record& record) { return static_cast<const RabbitRecord&>(record).revoked; });
  Rejoin(number, Now() + backoff_.Next());
}

// What came by it cannot be acknowledged any more. `revoke`: the server gives it to somebody else; else its queue is
// gone, and it is handled all the same.
void Member::LoseChannel(Queue& queue, bool revoke) {
  std::vector<Released> own;
  const int number = static_cast<int>(&queue - queues_.data());
  for (RabbitRecord* record = in_hand_; record != nullptr; record = record->next) {
    if (record->queue != number || record->channel_life != queue.life) continue;
    if (!revoke) continue;
    record->revoked = true;
    if (record->suspect || !record->checked) continue;
    if (record->identity.empty()) record->identity = IdentityOf(*record);
    own.push_back({record->identity, record->deliveries});
  }
  for (RabbitRecord* record : std::exchange(queue.pending, {})) Free(record);
  if (!own.empty()) NoteOwn(queue.topic, own);
  queue.coming.reset();
  queue.releasing = 0;
  queue.out.clear();
  queue.done = 0;
  queue.first_out = 1;
  ++queue.life;
  queue.active = false;
  queue.state = Queue::State::kClosed;
  queue.join_at = absl::InfinitePast();
}

void Member::Cancel(int number) {
  Queue& queue = queues_[number];
  queue.state = Queue::State::kCancelling;
  for (int consumer = queue.first_consumer; consumer <= queue.consumer; ++consumer) {
    const bool last = consumer == queue.consumer;
    queue.channel->Cancel(absl::StrCat(consumer), [this, number, last](const absl::Status& status) {
      Queue& queue = queues_[number];
      if (!last || !status.ok() || queue.state != Queue::State::kCancelling) return;  // OnChannelClosed comes.
      // With a smaller prefetch.
      if (is_fetching_ && queue.closed_since == absl::InfiniteFuture()) return Consume(number);
      queue.state = Queue::State::kCancelled;
      loop_->Notify();
    });
  }
}

// The server's channel gathers what comes faster than a quorum queue takes it, and forgets it when it ends: after many
// acknowledgements of single messages it gets some time.
void Member::CloseChannel(int number, absl::Time now) {
  Queue& queue = queues_[number];
  SendAcks(queue, now, /*all=*/true);
  if (queue.singles > kFewSingles && now < queue.single_at + kSinglesSettle) {
    next_check_ = std::min(next_check_, queue.single_at + kSinglesSettle);
    return;
  }
  queue.state = Queue::State::kClosing;
  queue.channel->Close([this, number](const absl::Status&) {
    Queue& queue = queues_[number];
    if (queue.state != Queue::State::kClosing) return;
    LoseChannel(queue, /*revoke=*/true);
    Rejoin(number, Now());
  });
}

// How many messages a queue may give ahead: its share of what there is room for, by count and by size.
int Member::WantedPrefetch(const Queue& queue) const {
  const Room room = sink_->room();
  const auto queues = static_cast<double>(queues_.size());
  double share = static_cast<double>(room.messages + in_hand_count_) / queues;
  if (mean_bytes_ > 0) share = std::min(share, static_cast<double>(room.bytes + in_hand_bytes_) / mean_bytes_ / queues);
  int wanted = static_cast<int>(std::clamp<double>(share, 1, kMostPrefetch));
  if (options_.prefetch > 0) wanted = std::min(wanted, options_.prefetch);
  if (queue.partitioned()) return std::min(wanted, kPartitionPrefetch);
  return mean_bytes_ == 0 ? std::min(wanted, kFirstPrefetch) : wanted;
}

// A consumer cannot change it: for more another comes to its help; for less all are cancelled, which the server does by
// delivering again what was on its way.
void Member::AdjustPrefetch(int number, absl::Time now) {
  Queue& queue = queues_[number];
  if (queue.partitioned() || now < queue.fixed_until) return;
  const size_t held = queue.in_hand + queue.pending.size();
  const int wanted = WantedPrefetch(queue);
  const bool more = wanted >= 2 * queue.prefetch && held * 2 >= static_cast<size_t>(queue.prefetch);
  if (more && queue.consumer - queue.first_consumer < kMostConsumers) {
    AddConsumer(number, std::min(wanted - queue.prefetch, kMostPrefetch));
  } else if (wanted * 4 < queue.prefetch) {
    Cancel(number);
  }
}

// Its topic is closed. While something of it is in hand, what came ahead stays behind that, in its order; then others
// may have all of it.
void Member::Rest(int number) {
  Queue& queue = queues_[number];
  if (queue.in_hand == 0) {
    queue.state = Queue::State::kLeaving;
  } else if (!queue.partitioned() && queue.state == Queue::State::kConsuming) {
    Cancel(number);
  }
}

void Member::Manage(int number, absl::Time now) {
  Queue& queue = queues_[number];
  const bool is_open = queue.closed_since == absl::InfiniteFuture();
  const bool rests = now >= queue.closed_since + kRest;
  if (!is_open && !rests) next_check_ = std::min(next_check_, queue.closed_since + kRest);
  switch (queue.state) {
    case Queue::State::kClosed:
      if (!is_fetching_ || setup_->waiting() > 0 || (queue.joined && rests)) break;
      if (now >= queue.join_at) {
        Join(number);
      } else {
        next_check_ = std::min(next_check_, queue.join_at);
      }
      break;
    case Queue::State::kConsuming:
      if (is_fetching_ && rests) {
        Rest(number);
      } else if (is_fetching_) {
        AdjustPrefetch(number, now);
      } else if (queue.partitioned()) {
        // Whoever has the partition next gets what is here before anything else: when the channel is closed.
        queue.state = Queue::State::kLeaving;
      } else {
        Cancel(number);
      }
      break;
    case Queue::State::kCancelled:
      if (!is_fetching_) {
        ReleasePending(queue);
      } else if (is_open) {
        queue.state = Queue::State::kCancelling;  // Until the server has answered.
        Consume(number);
      } else if (rests) {
        Rest(number);
      }
      break;
    case Queue::State::kLeaving:
      if ((queue.in_hand > 0 && !closing_) || queue.releasing > 0) break;
      if (is_fetching_ && !CheckPending(queue, now)) break;
      if (!queue.pending.empty()) {
        ReleasePending(queue);
      } else if (!closing_) {
        CloseChannel(number, now);
      }
      break;
    default:
      break;
  }
}

// A server gives a partition to the consumer that came first, and to another only when that leaves: who has more than
// its share leaves some. All members consume all partitions, one of them at a time is given messages. Those that wait
// the server does not count: each member consumes a queue of theirs, too.
void Member::Balance() {
  if (!setup_->open()) {
    setup_->Open();
    counted_.clear();
  }
  int topic = -1;
  for (const Queue& queue : queues_) {
    if (!queue.partitioned() || std::exchange(topic, queue.topic) == queue.topic) continue;
    const int asked = queue.topic;
    const QueueSpec spec = MembersQueue(subscribe_.topics[asked].topic, subscribe_.group);
    setup_->DeclareQueue(
        spec, /*passive=*/false, [this, asked, name = spec.name](const absl::Status& status, QueueFigures figures) {
          if (!status.ok()) return;
          if (!counted_.insert(asked).second) return ShareOut(asked, std::max(figures.consumers, 1));
          setup_->Consume(name, absl::StrCat(asked), /*prefetch=*/1, amqp_empty_table, [](const absl::Status&) {});
        });
  }
}

void Member::ShareOut(int topic, int members) {
  std::vector<Queue*> mine;
  int partitions = 0;
  for (Queue& queue : queues_) {
    if (queue.topic != topic) continue;
    ++partitions;
    if (queue.active && queue.state == Queue::State::kConsuming) mine.push_back(&queue);
  }
  const auto share = static_cast<size_t>((partitions + members - 1) / members);
  for (; mine.size() > share; mine.pop_back()) mine.back()->state = Queue::State::kLeaving;
  loop_->Notify();
}

}  // namespace messaging::rabbitmq
