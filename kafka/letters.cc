#include "kafka/letters.h"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kafka/places.h"
#include "kafka/record.h"
#include "messaging/broker/clock.h"
#include "messaging/broker/names.h"

namespace messaging::kafka {
namespace {

constexpr absl::Duration kSendLimit = absl::Seconds(30);
constexpr size_t kSendAtOnce = 500;

bool Matches(const DeadLetterFilter& filter, const DeadLetter& letter) {
  auto is = [](const std::string& wanted, const std::string& found) { return wanted.empty() || wanted == found; };
  const auto& ids = filter.ids;
  return is(filter.group, letter.group) && is(filter.topic, letter.message.topic) &&
         is(filter.handler, letter.failure.handler) && letter.dead_since >= filter.since &&
         (ids.empty() || std::find(ids.begin(), ids.end(), letter.id) != ids.end() ||
          std::find(ids.begin(), ids.end(), letter.message.id) != ids.end());
}

}  // namespace

std::string LetterKey(const rd_kafka_message_t& message, std::string_view handler) {
  // The time tells a topic from one that was made anew under its name.
  const std::string whole = absl::StrCat(rd_kafka_topic_name(message.rkt), "/", message.partition, "/",
                                         absl::ToUnixMicros(TimeOf(message)), "/", handler);
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a with 64 bits.
  for (const unsigned char c : whole) hash = (hash ^ c) * 0x100000001b3;
  return absl::StrCat(message.partition, "-", message.offset, "-", absl::Hex(hash, absl::kZeroPad16));
}

absl::StatusOr<std::vector<std::string>> Letters::Places(const DeadLetterFilter& filter) {
  absl::StatusOr<std::vector<std::string>> names = reader_.TopicNames();
  if (!names.ok()) return names;
  const std::string end = absl::StrCat(".", filter.group);
  const std::string exact =
      filter.group.empty() || filter.topic.empty() ? "" : DeadLetterPlace(filter.topic, filter.group);
  std::erase_if(*names, [&](const std::string& name) {
    if (!IsDeadLetterPlace(name)) return true;
    if (!exact.empty()) return name != exact;
    // A name that was cut does not tell its group.
    return !filter.group.empty() && !absl::EndsWith(name, end) && name.size() < 249;
  });
  return names;
}

absl::StatusOr<std::vector<Letters::Found>> Letters::Living(const std::string& place, int64_t& trim_to) {
  const absl::StatusOr<std::vector<Range>> bounds = reader_.Bounds(place);
  if (!bounds.ok()) return bounds.status();
  std::map<std::string, Found> living;
  trim_to = bounds->empty() ? 0 : bounds->front().to;
  const absl::Status status = reader_.Read(*bounds, [&](const rd_kafka_message_t& message) {
    std::string key(KeyOf(message));
    if (message.payload == nullptr) {
      living.erase(key);
    } else {
      living[key] = {.place = place, .offset = message.offset, .letter = ReadDeadLetter(message)};
    }
    return true;
  });
  if (!status.ok()) return status;
  std::vector<Found> found;
  for (auto& [key, one] : living) {
    trim_to = std::min(trim_to, one.offset);
    found.push_back(std::move(one));
  }
  return found;
}

absl::StatusOr<std::vector<Letters::Found>> Letters::Find(const DeadLetterFilter& filter) {
  const absl::StatusOr<std::vector<std::string>> places = Places(filter);
  if (!places.ok()) return places.status();
  std::vector<Found> all;
  for (const std::string& place : *places) {
    int64_t unused = 0;
    absl::StatusOr<std::vector<Found>> living = Living(place, unused);
    if (!living.ok()) {
      if (absl::IsNotFound(living.status())) continue;  // Deleted meanwhile.
      return living.status();
    }
    for (Found& found : *living) {
      if (Matches(filter, found.letter)) all.push_back(std::move(found));
    }
  }
  std::sort(all.begin(), all.end(), [](const Found& x, const Found& y) {
    return std::tie(x.letter.dead_since, x.place, x.offset) < std::tie(y.letter.dead_since, y.place, y.offset);
  });
  return all;
}

absl::Status Letters::List(const DeadLetterFilter& filter, std::function<bool(const DeadLetter&)> visit) {
  const absl::StatusOr<std::vector<Found>> found = Find(filter);
  if (!found.ok()) return found.status();
  for (const Found& one : *found) {
    if (!visit(one.letter)) break;
  }
  return absl::OkStatus();
}

absl::Status Letters::Send(std::vector<Message> messages) {
  std::vector<OutgoingPtr> sent;
  const absl::Time deadline = Clock::Steady().Now() + kSendLimit;
  for (Message& message : messages) {
    if (message.timestamp == absl::InfinitePast()) message.timestamp = absl::Now();
    sent.push_back(std::make_shared<Outgoing>(std::move(message), deadline, nullptr));
    producer_->Publish(sent.back());
  }
  absl::Status status;
  for (const OutgoingPtr& message : sent) {
    if (!message->WaitUntil(deadline)) message->CompleteAsOverdue();
    status.Update(message->result().status());
  }
  return status;
}

absl::Status Letters::Bury(const std::vector<Found>& found) {
  std::vector<Message> tombstones;
  for (const Found& one : found) {
    tombstones.push_back({.topic = one.place, .null_payload = true, .key = one.letter.id});
  }
  return Send(std::move(tombstones));
}

// What lies before the first that lives is of no use to anybody. Compaction does the rest.
void Letters::Trim(const std::string& place) {
  int64_t trim_to = 0;
  const absl::StatusOr<std::vector<Found>> living = Living(place, trim_to);
  const absl::StatusOr<rd_kafka_t*> handle = reader_.handle();
  if (!living.ok() || !handle.ok() || trim_to == 0) return;
  const PartitionList before(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(before.get(), place.c_str(), 0)->offset = trim_to;
  rd_kafka_DeleteRecords_t* records = rd_kafka_DeleteRecords_new(before.get());
  // Without the right to it they stay until they are compacted.
  (void)AskAdmin(*handle, *options_, RD_KAFKA_ADMIN_OP_DELETERECORDS, absl::Seconds(5),
                 [&](rd_kafka_AdminOptions_t* request, rd_kafka_queue_t* answers) {
                   rd_kafka_DeleteRecords(*handle, &records, 1, request, answers);
                 });
  rd_kafka_DeleteRecords_destroy(records);
}

absl::StatusOr<int64_t> Letters::Purge(const DeadLetterFilter& filter) {
  const absl::StatusOr<std::vector<Found>> found = Find(filter);
  if (!found.ok()) return found.status();
  if (absl::Status buried = Bury(*found); !buried.ok()) return buried;
  std::set<std::string> places;
  for (const Found& one : *found) places.insert(one.place);
  for (const std::string& place : places) Trim(place);
  return static_cast<int64_t>(found->size());
}

absl::StatusOr<int64_t> Letters::Replay(const DeadLetterFilter& filter) {
  absl::StatusOr<std::vector<Found>> found = Find(filter);
  if (!found.ok()) return found.status();
  std::set<std::string> places;
  for (size_t from = 0; from < found->size(); from += kSendAtOnce) {
    const size_t to = std::min(found->size(), from + kSendAtOnce);
    const std::vector<Found> part(found->begin() + static_cast<ptrdiff_t>(from),
                                  found->begin() + static_cast<ptrdiff_t>(to));
    std::vector<Message> messages;
    for (const Found& one : part) {
      messages.push_back(ReplayMessage(one.letter, ReplayPlace(one.letter.message.topic, one.letter.group)));
      places.insert(one.place);
    }
    absl::Status status = Send(std::move(messages));
    if (status.ok()) status = Bury(part);
    if (!status.ok()) return status;
  }
  for (const std::string& place : places) Trim(place);
  return static_cast<int64_t>(found->size());
}

absl::Status Letters::Import(const DeadLetter& letter) {
  if (!IsValidTopic(letter.message.topic) || !IsValidTopic(letter.group)) {
    return absl::InvalidArgumentError("a dead letter needs the topic and the group that it was of");
  }
  std::random_device random;
  const std::string key =
      absl::StrCat("i-", absl::Hex(random(), absl::kZeroPad8), absl::Hex(random(), absl::kZeroPad8));
  return Send({DeadMessage(letter, DeadLetterPlace(letter.message.topic, letter.group), key)});
}

}  // namespace messaging::kafka
