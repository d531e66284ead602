#include "rabbitmq/letters.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "messaging/broker/names.h"
#include "messaging/log.h"
#include "rabbitmq/looker.h"
#include "rabbitmq/topology.h"

namespace messaging::rabbitmq {
namespace {

constexpr char kDead[] = "__messaging.dead";
constexpr int kLooking = 2;
constexpr size_t kAhead = 100;

bool Matches(const DeadLetterFilter& filter, const DeadLetter& letter) {
  auto is = [](const std::string& wanted, const std::string& found) { return wanted.empty() || wanted == found; };
  const auto& ids = filter.ids;
  return is(filter.group, letter.group) && is(filter.topic, letter.message.topic) &&
         is(filter.handler, letter.failure.handler) && letter.dead_since >= filter.since &&
         (ids.empty() || std::find(ids.begin(), ids.end(), letter.id) != ids.end() ||
          std::find(ids.begin(), ids.end(), letter.message.id) != ids.end());
}

// Whether a place may hold what the filter lets through, by its name.
bool MayHold(const std::string& place, const DeadLetterFilter& filter) {
  if (!absl::StartsWith(place, kDead)) return false;
  if (absl::StrContains(place, ".dead-long.")) return true;
  return (filter.group.empty() || absl::EndsWith(place, absl::StrCat(".", filter.group))) &&
         (filter.topic.empty() || absl::StrContains(place, absl::StrCat(".", filter.topic, ".")));
}

}  // namespace

void Letters::Know(const std::string& topic, const std::string& group) {
  absl::MutexLock lock(&mutex_);
  known_.emplace(topic, group);
}

absl::StatusOr<std::vector<std::string>> Letters::Places(const DeadLetterFilter& filter) {
  if (!filter.topic.empty() && !filter.group.empty()) return std::vector{DeadLetterPlace(filter.topic, filter.group)};
  std::vector<std::string> places;
  if (management_.given()) {
    const auto queues = management_.List("queues", "name");
    if (!queues.ok()) return queues.status();
    for (const nlohmann::json& queue : *queues) {
      const std::string name = queue.value("name", "");
      if (MayHold(name, filter)) places.push_back(name);
    }
    return places;
  }
  std::set<std::pair<std::string, std::string>> known;
  {
    absl::MutexLock lock(&mutex_);
    known = known_;
  }
  for (const auto& [topic, group] : known) {
    const std::string place = DeadLetterPlace(topic, group);
    if (MayHold(place, filter)) places.push_back(place);
  }
  if (places.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        options_.Address(), ": AMQP lists no queues: name a topic and a group, or give the option ", "management_url"));
  }
  Log(Severity::kWarning, absl::StrCat("only the dead letters of the ", places.size(),
                                       " topics that this client consumes are seen: AMQP lists no queues, the option ",
                                       "management_url is not given"));
  return places;
}

absl::Status Letters::ForEach(const DeadLetterFilter& filter,
                              const std::function<absl::StatusOr<bool>(Looker&, const Found&)>& visit) {
  absl::StatusOr<std::vector<std::string>> places = Places(filter);
  if (!places.ok()) return places.status();
  // Oldest first over all of them: the next of each, the oldest of those.
  struct Page {
    std::unique_ptr<Looker> looker;
    // The next ones, by when they died. Those of several members come nearly in that order.
    std::multimap<absl::Time, Found> letters = {};
    bool ended = false;
  };
  std::vector<Page> pages;
  {
    absl::StatusOr<std::unique_ptr<Connection>> connection = connect_("look");
    if (!connection.ok()) return connection.status();
    amqp_channel_open((*connection)->state(), kLooking);
    for (const std::string& place : *places) {
      const absl::StatusOr<QueueFigures> figures = FiguresOf(**connection, kLooking, place);
      if (!figures.ok() && figures.status().code() != absl::StatusCode::kNotFound) return figures.status();
      if (!figures.ok()) continue;
      absl::StatusOr<std::unique_ptr<Looker>> looker = Looker::Open(connect_, place);
      if (!looker.ok()) return looker.status();
      pages.push_back({.looker = *std::move(looker)});
    }
  }
  auto fill = [&](Page& page) -> absl::Status {
    while (!page.ended && page.letters.size() < kAhead) {
      absl::StatusOr<std::unique_ptr<RabbitRecord>> record = page.looker->Next();
      if (!record.ok()) return record.status();
      page.ended = *record == nullptr;
      if (page.ended) break;
      Found found{.record = *std::move(record)};
      found.letter = ReadDeadLetter(*found.record);
      if (Matches(filter, found.letter)) page.letters.emplace(found.letter.dead_since, std::move(found));
    }
    return absl::OkStatus();
  };
  absl::Status status;
  while (status.ok()) {
    Page* oldest = nullptr;
    for (Page& page : pages) {
      status.Update(fill(page));
      if (page.letters.empty()) continue;
      if (oldest == nullptr || page.letters.begin()->first < oldest->letters.begin()->first) oldest = &page;
    }
    if (!status.ok() || oldest == nullptr) break;
    const auto next = oldest->letters.extract(oldest->letters.begin());
    const absl::StatusOr<bool> more = visit(*oldest->looker, next.mapped());
    if (!more.ok()) status = more.status();
    if (!more.ok() || !*more) break;
  }
  for (Page& page : pages) status.Update(page.looker->Close());
  return status;
}

absl::Status Letters::List(const DeadLetterFilter& filter, std::function<bool(const DeadLetter&)> visit) {
  return ForEach(filter, [&](Looker&, const Found& found) -> absl::StatusOr<bool> { return visit(found.letter); });
}

absl::StatusOr<int64_t> Letters::Purge(const DeadLetterFilter& filter) {
  int64_t count = 0;
  const absl::Status status = ForEach(filter, [&](Looker& looker, const Found& found) -> absl::StatusOr<bool> {
    looker.TakeOut(*found.record);
    ++count;
    return true;
  });
  if (!status.ok()) return status;
  return count;
}

absl::StatusOr<int64_t> Letters::Replay(const DeadLetterFilter& filter) {
  absl::StatusOr<std::unique_ptr<Sender>> sender = Sender::Open(connect_);
  if (!sender.ok()) return sender.status();
  int64_t count = 0;
  const absl::Status status = ForEach(filter, [&](Looker& looker, const Found& found) -> absl::StatusOr<bool> {
    const Message& message = found.letter.message;
    const int partitions = options_.PartitionsOf(message.topic);
    const int partition = partitions == 0 ? -1 : PartitionOf(message.key.value_or(message.id), partitions);
    const std::unique_ptr<Encoded> replay = Encoded::Replay(*found.record);
    const absl::Status sent =
        (*sender)->Publish(QueueName(options_, message.topic, found.letter.group, partition), *replay);
    if (!sent.ok()) return sent;
    looker.TakeOut(*found.record);
    ++count;
    return true;
  });
  if (!status.ok()) return status;
  return count;
}

absl::Status Letters::Import(const DeadLetter& letter) {
  absl::StatusOr<std::unique_ptr<Sender>> sender = Sender::Open(connect_);
  if (!sender.ok()) return sender.status();
  const QueueSpec place = DeadQueue(letter.message.topic, letter.group, (*sender)->connection().version());
  Encoded encoded(letter);
  absl::Status status = (*sender)->Publish(place.name, encoded);
  if (status.code() != absl::StatusCode::kNotFound) return status;
  status = DeclareBlocking((*sender)->connection(), kLooking, place);
  return status.ok() ? (*sender)->Publish(place.name, encoded) : status;
}

}  // namespace messaging::rabbitmq
