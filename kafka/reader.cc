#include "kafka/reader.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kafka/record.h"

namespace messaging::kafka {
namespace {

constexpr absl::Duration kAsk = absl::Seconds(5);
constexpr int kAskMilliseconds = 5'000;
constexpr int kPollMilliseconds = 100;
constexpr absl::Duration kAskAgain = absl::Milliseconds(20);
constexpr absl::Duration kSlice = absl::Milliseconds(500);
constexpr absl::Duration kSilence = absl::Seconds(15);  // Of a server that has more to say.

using Topic = std::unique_ptr<rd_kafka_topic_t, Destroyer<rd_kafka_topic_destroy>>;

}  // namespace

absl::Status Probe(const KafkaOptions& options, absl::Duration limit) {
  const absl::StatusOr<Handle> made = MakeHandle(RD_KAFKA_PRODUCER, options, {}, RD_KAFKA_EVENT_ERROR);
  if (!made.ok()) return made.status();
  const Queue events(rd_kafka_queue_get_main(made->get()));
  Connectivity connectivity(options);
  const absl::Time end = absl::Now() + limit;
  std::string last = "no answer";
  while (true) {
    const absl::StatusOr<Metadata> metadata =
        AskMetadata(made->get(), options, nullptr, std::clamp(end - absl::Now(), absl::Milliseconds(1), kSlice));
    if (metadata.ok()) return absl::OkStatus();
    while (const Event event{rd_kafka_queue_poll(events.get(), 0)}) {
      connectivity.OnError(rd_kafka_event_error(event.get()), rd_kafka_event_error_string(event.get()));
      last = rd_kafka_event_error_string(event.get());
    }
    if (!connectivity.denied().ok()) return connectivity.denied();
    if (absl::Now() >= end) return absl::UnavailableError(absl::StrCat(options.Address(), ": ", last));
  }
}

absl::StatusOr<rd_kafka_t*> Reader::handle() {
  absl::MutexLock lock(&mutex_);
  if (handle_ != nullptr) return handle_.get();
  absl::StatusOr<Handle> made = MakeHandle(RD_KAFKA_CONSUMER, *options_,
                                           {{"group.id", "core-messaging-reader"},  // It never joins.
                                            {"enable.auto.commit", "false"},
                                            {"auto.offset.reset", "earliest"},
                                            {"enable.partition.eof", "true"}},
                                           0);
  if (!made.ok()) return made.status();
  handle_ = *std::move(made);
  return handle_.get();
}

absl::StatusOr<std::vector<std::string>> Reader::TopicNames() {
  const absl::StatusOr<rd_kafka_t*> made = handle();
  if (!made.ok()) return made.status();
  const absl::StatusOr<Metadata> metadata = AskMetadata(*made, *options_, nullptr, kAsk);
  if (!metadata.ok()) return metadata.status();
  std::vector<std::string> names;
  for (int i = 0; i < (*metadata)->topic_cnt; ++i) names.emplace_back((*metadata)->topics[i].topic);
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::vector<Range>> Reader::Bounds(const std::string& topic) {
  const absl::Time end = absl::Now() + kAsk;
  while (true) {
    absl::StatusOr<std::vector<Range>> ranges = BoundsOnce(topic);
    // A leader that changes, or a topic just made.
    if (!absl::IsUnavailable(ranges.status()) || absl::Now() > end) return ranges;
    absl::SleepFor(kAskAgain);
  }
}

absl::StatusOr<std::vector<Range>> Reader::BoundsOnce(const std::string& topic) {
  const absl::StatusOr<rd_kafka_t*> made = handle();
  if (!made.ok()) return made.status();
  const absl::StatusOr<Metadata> metadata = AskMetadata(*made, *options_, &topic, kAsk);
  if (!metadata.ok()) return metadata.status();
  std::vector<Range> ranges;
  for (int i = 0; i < (*metadata)->topic_cnt; ++i) {
    const rd_kafka_metadata_topic_t& found = (*metadata)->topics[i];
    if (found.topic != topic) continue;
    if (found.err != RD_KAFKA_RESP_ERR_NO_ERROR) return StatusOf(found.err, *options_, absl::StrCat("topic ", topic));
    for (int j = 0; j < found.partition_cnt; ++j) {
      Range range{.topic = topic, .partition = found.partitions[j].id};
      const rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(*made, topic.c_str(), range.partition,
                                                                         &range.from, &range.to, kAskMilliseconds);
      if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return StatusOf(error, *options_, absl::StrCat("topic ", topic));
      ranges.push_back(std::move(range));
    }
  }
  if (ranges.empty()) return absl::NotFoundError(absl::StrCat(options_->Address(), ": there is no topic ", topic));
  std::sort(ranges.begin(), ranges.end(), [](const Range& x, const Range& y) { return x.partition < y.partition; });
  return ranges;
}

absl::Status Reader::Read(const std::vector<Range>& ranges, const std::function<bool(const rd_kafka_message_t&)>& visit,
                          const std::function<bool()>& stop) {
  // A handle of its own where somebody may read for long, or another reads the same.
  const absl::StatusOr<Handle> made = MakeHandle(RD_KAFKA_CONSUMER, *options_,
                                                 {{"group.id", "core-messaging-reader"},
                                                  {"enable.partition.eof", "true"},
                                                  {"enable.auto.commit", "false"},
                                                  {"auto.offset.reset", "earliest"}},
                                                 0);
  if (!made.ok()) return made.status();
  const Queue queue(rd_kafka_queue_new(made->get()));
  std::map<std::pair<std::string, int32_t>, int64_t> open;  // Where each ends that is not read to its end.
  std::vector<Topic> topics;
  for (const Range& range : ranges) {
    if (range.to >= 0 && range.from >= range.to) continue;
    topics.emplace_back(rd_kafka_topic_new(made->get(), range.topic.c_str(), nullptr));
    if (rd_kafka_consume_start_queue(topics.back().get(), range.partition, range.from, queue.get()) == 0) {
      open[{range.topic, range.partition}] = range.to;
    } else {
      topics.pop_back();
    }
  }
  absl::Status status;
  absl::Time heard = absl::Now();
  bool wanted = true;
  while (wanted && !open.empty() && !(stop && stop())) {
    const MessagePtr message(rd_kafka_consume_queue(queue.get(), kPollMilliseconds));
    const bool follows = std::any_of(open.begin(), open.end(), [](const auto& one) { return one.second < 0; });
    if (message == nullptr) {
      if (follows || absl::Now() - heard < kSilence) continue;
      status = absl::UnavailableError(absl::StrCat(options_->Address(), ": no answer"));
      break;
    }
    heard = absl::Now();
    const auto range =
        message->rkt == nullptr ? open.end() : open.find({rd_kafka_topic_name(message->rkt), message->partition});
    if (range == open.end()) continue;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        status = StatusOf(message->err, *options_, range->first.first, rd_kafka_message_errstr(message.get()));
        break;
      }
      if (range->second >= 0) open.erase(range);
      continue;
    }
    const bool last = range->second >= 0 && message->offset + 1 >= range->second;
    if (range->second < 0 || message->offset < range->second) wanted = visit(*message);
    if (last) open.erase(range);
  }
  for (const Range& range : ranges) {
    for (const Topic& topic : topics) {
      if (rd_kafka_topic_name(topic.get()) == range.topic) rd_kafka_consume_stop(topic.get(), range.partition);
    }
  }
  return status;
}

}  // namespace messaging::kafka
