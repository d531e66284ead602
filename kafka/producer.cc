#include "kafka/producer.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kafka/places.h"
#include "kafka/record.h"
#include "messaging/broker/clock.h"
#include "messaging/broker/names.h"
#include "messaging/log.h"

namespace messaging::kafka {
namespace {

constexpr int kPollMilliseconds = 100;
constexpr absl::Duration kAskFirst = absl::Milliseconds(500);  // Doubled while there is no answer, up to
constexpr absl::Duration kAskLimit = absl::Seconds(10);
// So long what waits may wait for a server that did not let us in: librdkafka has tried again meanwhile, and how that
// went it does not say, when it went as before, but every half a minute.
constexpr absl::Duration kDeniedLimit = absl::Seconds(2);
constexpr absl::Duration kPause = absl::Milliseconds(200);  // Before a server that is away is asked again.
constexpr int kExtraBytes = 64 << 10;                       // By which a copy may be larger than its original.
constexpr bool kNever = false;

rd_kafka_headers_t* HeadersOf(const Message& message) {
  rd_kafka_headers_t* const headers = rd_kafka_headers_new(message.headers.size() + 2);
  auto add = [headers](std::string_view name, std::string_view value) {
    rd_kafka_header_add(headers, name.data(), static_cast<ssize_t>(name.size()), value.data(),
                        static_cast<ssize_t>(value.size()));
  };
  if (!message.id.empty()) add(kIdHeader, message.id);
  if (!message.content_type.empty()) add(kTypeHeader, message.content_type);
  for (const auto& [name, value] : message.headers) add(name, value);
  return headers;
}

}  // namespace

absl::StatusOr<Handle> Producer::MakeProducerHandle(const KafkaOptions& options) {
  int largest = 1 << 20;
  const auto given = options.properties.find("message.max.bytes");
  if (given != options.properties.end()) (void)absl::SimpleAtoi(given->second, &largest);
  return MakeHandle(RD_KAFKA_PRODUCER, options, {{"message.max.bytes", absl::StrCat(largest + kExtraBytes)}},
                    RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
}

bool Producer::IsAcknowledged(const KafkaOptions& options) {
  for (const char* name : {"acks", "request.required.acks"}) {
    const auto found = options.properties.find(name);
    if (found != options.properties.end() && found->second == "0") return false;
  }
  return true;
}

Producer::Producer(std::shared_ptr<const KafkaOptions> options, Handle handle)
    : shared_options_(std::move(options)),
      options_(*shared_options_),
      acknowledged_(IsAcknowledged(options_)),
      connectivity_(options_),
      handle_(std::move(handle)),
      events_(rd_kafka_queue_get_main(handle_.get())),
      ask_limit_(kAskFirst),
      thread_([this] { Run(); }) {}

Producer::~Producer() {
  stopping_ = true;
  thread_.join();
  absl::MutexLock lock(&mutex_);
  rd_kafka_purge(handle_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
  while (const Event event{rd_kafka_queue_poll(events_.get(), 0)}) {
    if (rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_DR) OnReports(event.get());
  }
  absl::MutexLock topics(&topics_mutex_);
  waiting_.clear();  // Who is dropped without an answer is unknown.
  again_.clear();
  events_.reset();
}

void Producer::Publish(OutgoingPtr message) {
  auto sent = std::make_unique<Sent>(Sent{.outgoing = std::move(message), .number = next_number_++});
  const std::string& topic = sent->outgoing->message().topic;
  absl::ReaderMutexLock lock(&mutex_);
  if (options_.MayCreate(topic) || IsInternalPlace(topic)) {
    absl::MutexLock topics(&topics_mutex_);
    if (!made_.contains(topic)) return Await(topic, std::move(sent));
  }
  HandOrRefuse(std::move(sent));
}

void Producer::Expect(const std::vector<std::string>& topics) {
  absl::ReaderMutexLock lock(&mutex_);
  absl::MutexLock waiting(&topics_mutex_);
  for (const std::string& topic : topics) {
    if (!made_.contains(topic)) waiting_[topic];
  }
  if (!waiting_.empty() && !topics_wait_.exchange(true)) rd_kafka_queue_yield(events_.get());
}

void Producer::Await(const std::string& topic, std::unique_ptr<Sent> sent) {
  waiting_[topic].push_back(std::move(sent));
  if (!topics_wait_.exchange(true)) rd_kafka_queue_yield(events_.get());
}

// The payload stays where it is until the report: Sent keeps it.
absl::Status Producer::Hand(std::unique_ptr<Sent>& sent) {
  const Message& message = sent->outgoing->message();
  if (sent->outgoing->resolved()) {  // Its deadline has passed.
    sent.reset();
    return absl::OkStatus();
  }
  rd_kafka_headers_t* const headers = HeadersOf(message);
  char none = 0;  // A null pointer is a null payload; an empty one has to point somewhere.
  const bool empty = message.payload.empty();
  void* const payload = message.null_payload ? nullptr : empty ? &none : const_cast<char*>(message.payload.data());
  const void* const key = !message.key ? nullptr : message.key->empty() ? &none : message.key->data();
  const size_t key_size = message.key ? message.key->size() : 0;
  const int64_t time = message.timestamp == absl::InfinitePast() ? 0 : absl::ToUnixMillis(message.timestamp);
  const rd_kafka_resp_err_t error = rd_kafka_producev(
      handle_.get(), RD_KAFKA_V_TOPIC(message.topic.c_str()), RD_KAFKA_V_MSGFLAGS(empty ? RD_KAFKA_MSG_F_COPY : 0),
      RD_KAFKA_V_VALUE(payload, message.payload.size()), RD_KAFKA_V_KEY(key, key_size), RD_KAFKA_V_HEADERS(headers),
      RD_KAFKA_V_TIMESTAMP(time), RD_KAFKA_V_OPAQUE(sent.get()), RD_KAFKA_V_END);
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
    (void)sent.release();  // It comes back with the report.
    return absl::OkStatus();
  }
  rd_kafka_headers_destroy(headers);
  if (error == RD_KAFKA_RESP_ERR__FATAL) {
    if (!broken_.exchange(true)) rd_kafka_queue_yield(events_.get());
    return absl::AbortedError("the idempotent producer is broken");
  }
  return StatusOf(error, options_, absl::StrCat("topic ", message.topic));
}

void Producer::HandOrRefuse(std::unique_ptr<Sent> sent) {
  const absl::Status status = Hand(sent);
  if (status.ok()) return;
  const std::string& topic = sent->outgoing->message().topic;
  absl::MutexLock lock(&topics_mutex_);
  if (absl::IsNotFound(status) && (options_.MayCreate(topic) || IsInternalPlace(topic))) {
    made_.erase(topic);  // It was there, and is gone.
    return Await(topic, std::move(sent));
  }
  if (absl::IsAborted(status)) {
    again_.push_back(std::move(sent));
    return;
  }
  topics_mutex_.Unlock();
  sent->outgoing->Complete(status);
  topics_mutex_.Lock();
}

void Producer::Run() {
  while (!stopping_) {
    rd_kafka_queue_t* events = nullptr;
    {
      absl::ReaderMutexLock lock(&mutex_);
      events = events_.get();  // Only this thread changes it.
    }
    const Event event(rd_kafka_queue_poll(events, topics_wait_ ? 0 : kPollMilliseconds));
    if (event != nullptr && rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_DR) {
      OnReports(event.get());
    } else if (event != nullptr && rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_ERROR) {
      const rd_kafka_resp_err_t error = rd_kafka_event_error(event.get());
      if (error == RD_KAFKA_RESP_ERR__FATAL) broken_ = true;
      connectivity_.OnError(error, rd_kafka_event_error_string(event.get()));
      if (!connectivity_.denied().ok()) RefuseAll();
    }
    RefuseIfDenied(absl::Now());
    if (topics_wait_) AskForTopics();
    if (broken_) Recover();
    if (std::exchange(again_wait_, false)) HandAgain();
  }
}

void Producer::RefuseIfDenied(absl::Time now) {
  if (connectivity_.denied().ok() || !AnythingWaits()) {
    refuse_at_ = absl::InfiniteFuture();
  } else if (refuse_at_ == absl::InfiniteFuture()) {
    refuse_at_ = now + kDeniedLimit;
  } else if (now >= refuse_at_) {
    refuse_at_ = absl::InfiniteFuture();
    RefuseAll();
  }
}

bool Producer::AnythingWaits() {
  absl::ReaderMutexLock lock(&mutex_);
  return topics_wait_ || rd_kafka_outq_len(handle_.get()) > 0;
}

// Time does not mend what stands in the way: what waits is told so.
void Producer::RefuseAll() {
  absl::ReaderMutexLock lock(&mutex_);
  rd_kafka_purge(handle_.get(), RD_KAFKA_PURGE_F_QUEUE);
  for (const std::string& topic : WaitingTopics()) HandWaiting(topic, connectivity_.denied());
}

void Producer::OnReports(rd_kafka_event_t* event) {
  while (const rd_kafka_message_t* report = rd_kafka_event_message_next(event)) OnReport(*report);
}

void Producer::OnReport(const rd_kafka_message_t& report) {
  std::unique_ptr<Sent> sent(static_cast<Sent*>(report._private));
  Outgoing& outgoing = *sent->outgoing;
  if (report.err == RD_KAFKA_RESP_ERR_NO_ERROR) {
    connectivity_.OnProgress();
    if (report.offset < 0 && acknowledged_) {
      // The server took it for the repetition of one that it has, and does not say where that is. It says so, too, when
      // what was sent behind it was taken first: a partition that knows nothing of a producer takes any number to begin
      // with. Where a true repetition is it knows: rather twice than never.
      Log(Severity::kWarning, absl::StrCat(options_.Address(), ": topic ", outgoing.message().topic,
                                           ": a message was taken for a repetition; it is sent again"));
      again_wait_ = true;
      absl::MutexLock lock(&topics_mutex_);
      again_.push_back(std::move(sent));
      return;
    }
    outgoing.Complete(Receipt{.partition = report.partition, .position = report.offset});
    return;
  }
  if (outgoing.resolved()) return;
  const std::string& topic = outgoing.message().topic;
  switch (report.err) {
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
      if (stopping_) return outgoing.CompleteAsOverdue();
      if (!connectivity_.denied().ok()) return outgoing.Complete(connectivity_.denied());
      break;
    case RD_KAFKA_RESP_ERR__FATAL:
      break;
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
      return outgoing.CompleteAsOverdue();
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      if (options_.MayCreate(topic) || IsInternalPlace(topic)) {  // It was there, and is gone.
        absl::MutexLock lock(&topics_mutex_);
        made_.erase(topic);
        waiting_[topic].push_back(std::move(sent));
        topics_wait_ = true;
        return;
      }
      return outgoing.Complete(absl::NotFoundError(
          absl::StrCat(options_.Address(), ": there is no topic ", topic, ": make it (core topics declare ", topic,
                       "), or let this client do that: create_topics=true, or the topic among the client's topics")));
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
      return outgoing.Complete(absl::InvalidArgumentError(absl::StrCat(
          options_.Address(), ": topic ", topic, " takes no message of ", outgoing.bytes(),
          " bytes: raise its max.message.bytes (kafka-configs --alter --topic), and this client's message.max.bytes")));
    default:
      if (!broken_) return outgoing.Complete(StatusOf(report.err, options_, absl::StrCat("topic ", topic)));
  }
  broken_ = true;
  absl::MutexLock lock(&topics_mutex_);
  again_.push_back(std::move(sent));
}

void Producer::HandAgain() {
  Waiting again;
  {
    absl::MutexLock lock(&topics_mutex_);
    again.swap(again_);
  }
  absl::ReaderMutexLock lock(&mutex_);
  for (std::unique_ptr<Sent>& sent : again) HandOrRefuse(std::move(sent));
}

std::vector<std::string> Producer::WaitingTopics() {
  std::vector<std::string> topics;
  absl::MutexLock lock(&topics_mutex_);
  for (const auto& [topic, waiting] : waiting_) topics.push_back(topic);
  return topics;
}

void Producer::AskForTopics() {
  bool away = false;
  absl::ReaderMutexLock lock(&mutex_);
  for (const std::string& topic : WaitingTopics()) {
    const NewTopic made = IsInternalPlace(topic) ? PlaceTopic(options_, topic) : DescribeTopic(options_, topic);
    const absl::Status status = CreateTopics(handle_.get(), options_, {made}, ask_limit_);
    if (status.ok()) AwaitTopics(handle_.get(), options_, {made}, kAskLimit / 2);
    away = !HandWaiting(topic, status) || away;
  }
  const bool patient = away && connectivity_.denied().ok();
  ask_limit_ = patient ? std::min(2 * ask_limit_, kAskLimit) : kAskFirst;
  absl::MutexLock topics(&topics_mutex_);
  topics_wait_ = !waiting_.empty();
  if (away && !stopping_) topics_mutex_.AwaitWithTimeout(absl::Condition(&kNever), kPause);
}

// What waits for the topic goes before what is sent from now on. False: it is to be asked for again.
bool Producer::HandWaiting(const std::string& topic, const absl::Status& made) {
  std::vector<std::pair<std::unique_ptr<Sent>, absl::Status>> refused;
  {
    absl::MutexLock lock(&topics_mutex_);
    Waiting& waiting = waiting_[topic];
    if (absl::IsUnavailable(made)) {
      std::erase_if(waiting, [](const auto& sent) { return sent->outgoing->resolved(); });
      if (!waiting.empty()) return false;
    }
    std::sort(waiting.begin(), waiting.end(), [](const auto& x, const auto& y) { return x->number < y->number; });
    // Without the right to make topics it may be there all the same: sending tells.
    const bool go_on = made.ok() || absl::IsPermissionDenied(made);
    if (go_on) made_.insert(topic);
    for (std::unique_ptr<Sent>& sent : waiting) {
      const absl::Status status = go_on ? Hand(sent) : made;
      if (absl::IsAborted(status)) {
        again_.push_back(std::move(sent));
      } else if (!status.ok()) {
        refused.emplace_back(std::move(sent), status);
      }
    }
    waiting_.erase(topic);
  }
  for (auto& [sent, why] : refused) sent->outgoing->Complete(why);
  return true;
}

void Producer::Recover() {
  absl::MutexLock lock(&mutex_);
  char why[512] = "";
  rd_kafka_fatal_error(handle_.get(), why, sizeof(why));
  Log(Severity::kWarning, absl::StrCat(options_.Address(), ": the idempotent producer begins anew: ", why));
  rd_kafka_purge(handle_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
  const absl::Time limit = absl::Now() + kAskLimit;
  while (rd_kafka_outq_len(handle_.get()) > 0 && absl::Now() < limit) {
    const Event event(rd_kafka_queue_poll(events_.get(), kPollMilliseconds));
    if (event != nullptr && rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_DR) OnReports(event.get());
  }
  broken_ = false;
  absl::StatusOr<Handle> fresh = MakeProducerHandle(options_);
  Waiting again;
  {
    absl::MutexLock topics(&topics_mutex_);
    again.swap(again_);
  }
  std::sort(again.begin(), again.end(), [](const auto& x, const auto& y) { return x->number < y->number; });
  if (fresh.ok()) {
    events_.reset();
    handle_ = *std::move(fresh);
    events_.reset(rd_kafka_queue_get_main(handle_.get()));
  }
  for (std::unique_ptr<Sent>& sent : again) {
    const absl::Status status = fresh.ok() ? Hand(sent) : fresh.status();
    if (!status.ok()) sent->outgoing->Complete(status);
  }
}

void Producer::BreakForTest() {
  absl::ReaderMutexLock lock(&mutex_);
  rd_kafka_test_fatal_error(handle_.get(), RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "told to by a test");
}

}  // namespace messaging::kafka
