// KafkaAdmin::Tail: partitions read without a group.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kafka/admin.h"
#include "kafka/record.h"

namespace messaging::kafka {
namespace {

constexpr int kAskMilliseconds = 10'000;
constexpr absl::Duration kPause = absl::Milliseconds(150);

// Where the first message since then lies, in each of the ranges.
absl::Status SeekToTime(rd_kafka_t* handle, const KafkaOptions& options, absl::Time since, std::vector<Range>& ranges) {
  const PartitionList times(rd_kafka_topic_partition_list_new(static_cast<int>(ranges.size())));
  for (const Range& range : ranges) {
    rd_kafka_topic_partition_list_add(times.get(), range.topic.c_str(), range.partition)->offset =
        absl::ToUnixMillis(since);
  }
  const rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(handle, times.get(), kAskMilliseconds);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return StatusOf(error, options, ranges[0].topic);
  for (Range& range : ranges) {
    const rd_kafka_topic_partition_t* const found =
        rd_kafka_topic_partition_list_find(times.get(), range.topic.c_str(), range.partition);
    range.from = found != nullptr && found->offset >= 0 ? found->offset : range.to;
  }
  return absl::OkStatus();
}

// The last `count` over all partitions, by their time.
absl::Status ShowLast(Reader& reader, std::vector<Range> ranges, size_t count,
                      const std::function<bool(const rd_kafka_message_t&)>& visit) {
  // Which they are is told by their times; then they are read once more, to be shown.
  std::vector<std::tuple<absl::Time, int32_t, int64_t>> found;
  for (Range& range : ranges) range.from = std::max(range.from, range.to - static_cast<int64_t>(count));
  absl::Status status = reader.Read(ranges, [&](const rd_kafka_message_t& message) {
    found.emplace_back(TimeOf(message), message.partition, message.offset);
    return true;
  });
  if (!status.ok() || found.empty()) return status;
  std::sort(found.begin(), found.end());
  if (found.size() > count) found.erase(found.begin(), found.end() - static_cast<ptrdiff_t>(count));
  for (Range& range : ranges) {
    range.from = range.to;
    for (const auto& [time, partition, offset] : found) {
      if (partition == range.partition) range.from = std::min(range.from, offset);
    }
  }
  return reader.Read(ranges, visit);
}

}  // namespace

absl::Status KafkaAdmin::Tail(const TailOptions& tail, std::function<bool(const Record&)> visit,
                              std::function<bool()> stop) {
  const absl::StatusOr<rd_kafka_t*> handle = reader_.handle();
  if (!handle.ok()) return handle.status();
  absl::StatusOr<std::vector<Range>> ranges = reader_.Bounds(tail.topic);
  while (absl::IsNotFound(ranges.status()) && tail.follow && !stop()) {  // It may come.
    absl::SleepFor(kPause);
    ranges = reader_.Bounds(tail.topic);
  }
  if (!ranges.ok()) return stop() ? absl::OkStatus() : ranges.status();
  bool wanted = true;
  const auto show = [&](const rd_kafka_message_t& message) {
    KafkaRecord record;
    record.topic = tail.topic;
    record.message.reset(const_cast<rd_kafka_message_t*>(&message));
    ReadMessage(record, false);
    wanted = visit(record);
    (void)record.message.release();  // The reader's own.
    return wanted;
  };
  std::vector<Range> past = *ranges;
  absl::Status status;
  if (tail.since) {
    status = SeekToTime(*handle, *options_, *tail.since, past);
    if (status.ok()) status = reader_.Read(past, show, stop);
  } else if (tail.last && *tail.last > 0) {
    status = ShowLast(reader_, past, static_cast<size_t>(*tail.last), show);
  }
  if (!status.ok() || !wanted || !tail.follow || stop()) return status;
  for (Range& range : *ranges) {
    range.from = range.to;
    range.to = -1;
  }
  return reader_.Read(*ranges, show, stop);
}

}  // namespace messaging::kafka
