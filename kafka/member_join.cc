// Which topics a member reads, which partitions are its own, and where it begins in them.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kafka/member.h"
#include "kafka/places.h"
#include "messaging/broker/clock.h"
#include "messaging/log.h"

namespace messaging::kafka {
namespace {

constexpr absl::Duration kAsk = absl::Seconds(2);  // A question's limit; what has no answer is asked again.
constexpr int kAskMilliseconds = 2'000;
constexpr absl::Duration kPause = absl::Milliseconds(100);
constexpr absl::Duration kAppear = absl::Seconds(10);  // Until a topic that was made is known everywhere.

absl::Time Now() { return Clock::Steady().Now(); }

}  // namespace

// Fills plans_; the names of those that are not there are the answer.
absl::StatusOr<std::vector<std::string>> Member::MissingTopics() {
  const absl::StatusOr<Metadata> metadata = AskMetadata(handle_.get(), *options_, nullptr, ask_limit_);
  if (!metadata.ok()) {
    ask_limit_ = std::min(2 * ask_limit_, kAsk);
    return metadata.status();
  }
  connectivity_.OnProgress();
  absl::flat_hash_set<std::string> there;
  for (int i = 0; i < (*metadata)->topic_cnt; ++i) {
    const rd_kafka_metadata_topic_t& topic = (*metadata)->topics[i];
    if (IsUsable(topic)) there.insert(topic.topic);
  }
  std::vector<std::string> missing;
  for (const TopicPlan& plan : subscribe_.topics) {
    if (!there.contains(plan.topic)) missing.push_back(plan.topic);
    plans_[plan.topic] = {&plan, false};
    for (const std::string& place : PlacesOf(plan, subscribe_.group)) {
      if (!there.contains(place)) missing.push_back(place);
      if (!IsDeadLetterPlace(place)) plans_[place] = {&plan, true};
    }
    // An earlier plan's delays may have left retries in other places.
    const std::string prefix = RetryPrefix(plan.topic, subscribe_.group);
    for (const std::string& topic : there) {
      if (IsRetryPlaceOf(topic, prefix)) plans_[topic] = {&plan, true};
    }
  }
  return missing;
}

absl::Status Member::PrepareTopics(absl::Time limit) {
  absl::StatusOr<std::vector<std::string>> missing = MissingTopics();
  if (!missing.ok()) return missing.status();
  if (!missing->empty()) {
    if (absl::Status made = MakeTopics(*missing, limit); !made.ok()) return made;
  }
  for (const TopicPlan& plan : subscribe_.topics) producer_->Expect(PlacesOf(plan, subscribe_.group));
  return absl::OkStatus();
}

absl::Status Member::MakeTopics(const std::vector<std::string>& topics, absl::Time limit) {
  std::vector<NewTopic> wanted;
  for (const std::string& topic : topics) {
    const bool own = !plans_.contains(topic) || plans_[topic].second;  // Dead letters are not read.
    if (own) {
      wanted.push_back(PlaceTopic(*options_, topic));
    } else if (options_->MayCreate(topic)) {
      wanted.push_back(DescribeTopic(*options_, topic));
    } else {
      // The server may make those that a sender asks for. This member does not ask so itself: it would bring back what
      // others delete while it runs, or leaves.
      const absl::StatusOr<Handle> sender = MakeHandle(RD_KAFKA_PRODUCER, *options_, {}, 0);
      if (sender.ok()) (void)AskMetadata(sender->get(), *options_, &topic, kAsk);
    }
  }
  if (absl::Status made = CreateTopics(handle_.get(), *options_, wanted, kAsk); !made.ok()) {
    if (!absl::IsPermissionDenied(made)) return made;
    auto name = [](std::string* out, const NewTopic& topic) { out->append(topic.name); };
    return absl::PermissionDeniedError(absl::StrCat(
        made.message(), "; give the right to create topics, or make these: ", absl::StrJoin(wanted, ", ", name)));
  }
  const absl::Time appear = std::min(limit, Now() + kAppear);
  absl::StatusOr<std::vector<std::string>> missing;
  while (true) {
    missing = MissingTopics();
    if (!missing.ok()) return missing.status();
    if (missing->empty()) {
      AwaitTopics(handle_.get(), *options_, wanted, kAsk);  // Or their first messages come a second late.
      return absl::OkStatus();
    }
    if (Now() > appear) break;
    absl::SleepFor(kPause / 4);  // Nobody says when they are there.
  }
  return absl::NotFoundError(absl::StrCat(options_->Address(), ": there is no topic ", absl::StrJoin(*missing, ", "),
                                          ": make it (core topics declare), or let this client do that: "
                                          "create_topics=true, or the topic among its topics"));
}

const TopicPlan* Member::PlanOf(const std::string& topic, bool& retry) const {
  const auto found = plans_.find(topic);
  if (found == plans_.end()) return nullptr;
  retry = found->second.second;
  return found->second.first;
}

void Member::StepRebalance() {
  if (rebalance_ == nullptr || Now() < try_again_) return;
  if (rd_kafka_event_error(rebalance_.get()) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
    Assign();
  } else {
    Revoke();
  }
}

void Member::Assign() {
  const PartitionList partitions(
      rd_kafka_topic_partition_list_copy(rd_kafka_event_topic_partition_list(rebalance_.get())));
  if (!FindPositions(partitions.get())) {
    try_again_ = Now() + kPause;
    wake_at_ = std::min(wake_at_, try_again_);
    return;
  }
  const bool cooperative = std::string_view(rd_kafka_rebalance_protocol(handle_.get())) == "COOPERATIVE";
  if (!cooperative) {
    for (const auto& partition : partitions_) {
      if (partition->state != Partition::State::kGone) Abandon(partition.get());
    }
  }
  const size_t kept = partitions_.size();
  for (int i = 0; i < partitions->cnt; ++i) AddPartition(partitions->elems[i]);
  absl::flat_hash_set<const Partition*> added;
  for (size_t i = kept; i < partitions_.size(); ++i) added.insert(partitions_[i].get());
  if (cooperative) {
    const Error error(rd_kafka_incremental_assign(handle_.get(), partitions.get()));
    if (error != nullptr)
      Log(Severity::kWarning, absl::StrCat("kafka: assignment: ", rd_kafka_error_string(error.get())));
  } else {
    rd_kafka_assign(handle_.get(), partitions.get());
  }
  rebalance_.reset();
  // Where a group that begins now stands has to be known before anything is sent after that. Those that were kept have
  // messages in hand, which such a commit would not name.
  CommitAndWait([&](const Partition& partition) { return added.contains(&partition); }, Now() + kAsk);
  TellAssignment();
  FinishStart(absl::OkStatus());
}

void Member::TellAssignment(std::string missing) {
  int owned = 0;
  for (const auto& partition : partitions_) {
    if (partition->state == Partition::State::kOwned && !partition->retry) ++owned;
  }
  sink_->Assigned({.group = subscribe_.group, .missing = std::move(missing), .partitions = owned});
}

// Where the group has come to, and else where it begins.
bool Member::FindPositions(rd_kafka_topic_partition_list_t* partitions) {
  if (partitions->cnt == 0) return true;
  if (rd_kafka_committed(handle_.get(), partitions, kAskMilliseconds) != RD_KAFKA_RESP_ERR_NO_ERROR) return false;
  for (int i = 0; i < partitions->cnt; ++i) {
    rd_kafka_topic_partition_t& partition = partitions->elems[i];
    if (partition.err != RD_KAFKA_RESP_ERR_NO_ERROR) return false;
    if (partition.offset >= 0) continue;
    bool retry = false;
    partition.offset = RD_KAFKA_OFFSET_BEGINNING;
    if (PlanOf(partition.topic, retry) == nullptr || retry || subscribe_.start_at != StartAt::kNow) continue;
    if (!IsNewGroup(partition.topic)) continue;  // A partition that was added: what it holds came since.
    int64_t low = 0;
    int64_t high = 0;
    if (rd_kafka_query_watermark_offsets(handle_.get(), partition.topic, partition.partition, &low, &high,
                                         kAskMilliseconds) != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return false;
    }
    partition.offset = high;
  }
  return true;
}

// Has it no position in any partition of the topic?
bool Member::IsNewGroup(const std::string& topic) {
  const absl::StatusOr<Metadata> metadata = AskMetadata(handle_.get(), *options_, &topic, kAsk);
  if (!metadata.ok() || (*metadata)->topic_cnt != 1) return false;
  const PartitionList all(rd_kafka_topic_partition_list_new(0));
  rd_kafka_topic_partition_list_add_range(all.get(), topic.c_str(), 0, (*metadata)->topics[0].partition_cnt - 1);
  if (rd_kafka_committed(handle_.get(), all.get(), kAskMilliseconds) != RD_KAFKA_RESP_ERR_NO_ERROR) return false;
  return std::all_of(all->elems, all->elems + all->cnt, [](const auto& partition) { return partition.offset < 0; });
}

void Member::AddPartition(const rd_kafka_topic_partition_t& assigned) {
  auto partition = std::make_unique<Partition>();
  partition->name = assigned.topic;
  partition->number = assigned.partition;
  partition->plan = PlanOf(partition->name, partition->retry);
  partition->member = this;
  if (partition->plan == nullptr) return;
  const std::string_view metadata(static_cast<const char*>(assigned.metadata), assigned.metadata_size);
  const bool known = assigned.offset >= 0;
  partition->offsets = known ? Offsets::Resume(assigned.offset, metadata) : Offsets(0);
  // A group that begins at the end has to say so.
  partition->touched = known && metadata.empty() && subscribe_.start_at == StartAt::kNow;
  partition->queue.reset(rd_kafka_queue_get_partition(handle_.get(), assigned.topic, assigned.partition));
  partition->retry ? ReadAlone(*partition) : ReadTogether(*partition);
  SetClosed(*partition);
  partitions_.push_back(std::move(partition));
}

// Another member is to have them, or has them already.
void Member::Revoke() {
  const rd_kafka_topic_partition_list_t* const partitions = rd_kafka_event_topic_partition_list(rebalance_.get());
  const bool lost = rd_kafka_assignment_lost(handle_.get()) != 0;
  const auto leaving = [](const Record& record) {
    return static_cast<const KafkaRecord&>(record).from->state == Partition::State::kLeaving;
  };
  if (revoke_by_ == absl::InfiniteFuture()) {
    revoke_by_ = lost ? Now() : Now() + options_->revoke_timeout;
    for (const auto& partition : partitions_) {
      if (partition->state != Partition::State::kOwned ||
          rd_kafka_topic_partition_list_find(const_cast<rd_kafka_topic_partition_list_t*>(partitions),
                                             partition->name.c_str(), partition->number) == nullptr) {
        continue;
      }
      partition->state = Partition::State::kLeaving;
      for (KafkaRecord* record : std::exchange(partition->returned, {})) Free(record);
      DropWaiting(*partition);
    }
    if (!lost) sink_->Withdraw(leaving);
    TakeVerdicts();
  }
  if (InHandOf(Partition::State::kLeaving) > 0 && Now() < revoke_by_) {
    wake_at_ = std::min(wake_at_, revoke_by_);
    return;
  }
  if (InHandOf(Partition::State::kLeaving) > 0) {
    Log(Severity::kWarning,
        absl::StrCat("kafka: group ", subscribe_.group, ": ", InHandOf(Partition::State::kLeaving),
                     " messages were in hand when their ", "partitions ", lost ? "were lost" : "went to another member",
                     ": they are handled again there"));
    sink_->Revoke(leaving);
  }
  const auto is_leaving = [](const Partition& partition) { return partition.state == Partition::State::kLeaving; };
  if (!lost) CommitAndWait(is_leaving, Now() + kAsk);
  const bool cooperative = std::string_view(rd_kafka_rebalance_protocol(handle_.get())) == "COOPERATIVE";
  if (cooperative) {
    const Error error(rd_kafka_incremental_unassign(handle_.get(), partitions));
  } else {
    rd_kafka_assign(handle_.get(), nullptr);
  }
  for (const auto& partition : partitions_) {
    if (is_leaving(*partition)) Abandon(partition.get());
  }
  rebalance_.reset();
  revoke_by_ = absl::InfiniteFuture();
  TellAssignment(lost           ? "its partitions were lost, as the group did not hear of it in time: it joins again"
                 : !cooperative ? "the group deals its partitions"
                                : "");
}

void Member::Abandon(Partition* partition) {
  partition->state = Partition::State::kGone;
  for (KafkaRecord* record : std::exchange(partition->returned, {})) Free(record);
  DropWaiting(*partition);
  CancelBegun(*partition);
  if (partition->queue != nullptr && partition->alone) {
    rd_kafka_queue_cb_event_enable(partition->queue.get(), nullptr, nullptr);
  }
  partition->queue.reset();
  last_found_ = nullptr;
}

size_t Member::InHandOf(Partition::State state) const {
  size_t count = 0;
  for (const auto& partition : partitions_) {
    if (partition->state == state) count += partition->in_hand;
  }
  return count;
}

}  // namespace messaging::kafka
