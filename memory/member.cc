#include "memory/member.h"

#include <algorithm>
#include <string>

namespace messaging::memory_internal {
namespace {

// So many are delivered at once, at most: the locks and wake-ups of a batch cost nothing then.
constexpr size_t kBatch = 512;

}  // namespace

Member::Member(std::shared_ptr<Store> store, SubscribeOptions options, DeliverySink* sink, const void* broker)
    : store_(std::move(store)), options_(std::move(options)), sink_(sink), broker_(broker) {}

Member::~Member() = default;

void Member::Join() {
  absl::MutexLock lock(&store_->mutex);
  for (const TopicPlan& plan : options_.topics) {
    GroupTopic& group = store_->Group(options_.group, plan.topic, options_.start_at);
    topics_.push_back({&group, plan.ordered || plan.strict});
    group.members().push_back(this);
  }
  auto& members = store_->members;
  members.erase(std::remove_if(members.begin(), members.end(), [](const auto& weak) { return weak.expired(); }),
                members.end());
  members.push_back(weak_from_this());
}

absl::Status Member::Start() {
  absl::MutexLock lock(&store_->mutex);
  if (started_ || left_) return absl::FailedPreconditionError("this subscription was started before");
  started_ = fetching_ = true;
  if (!store_->simulated()) thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void Member::Run() {
  uint64_t seen = 0;
  while (true) {
    if (Turn()) continue;
    absl::MutexLock lock(&store_->mutex);
    if (ended_) return;
    if (signals_ != seen) {  // Something came after Turn had looked.
      seen = signals_;
      continue;
    }
    const absl::Time next = NextEvent();
    waiting_ = true;
    if (next == absl::InfiniteFuture()) {
      changed_.Wait(&store_->mutex);
    } else {
      changed_.WaitWithTimeout(&store_->mutex, std::max(next - store_->Now(), absl::ZeroDuration()));
    }
    waiting_ = false;
  }
}

absl::Time Member::NextEvent() const {
  absl::Time next = absl::InfiniteFuture();
  if (!late_.empty()) next = late_.front().first;
  if (!fetching_ || starved_ || store_->faults.paused) return next;
  for (const Topic& topic : topics_) {
    if (Reads(topic)) next = std::min(next, topic.group->NextDue());
  }
  return next;
}

bool Member::Reads(const Topic& topic) const {
  return closed_ == nullptr ||
         std::find(closed_->begin(), closed_->end(), topic.group->topic().name()) == closed_->end();
}

bool Member::MayFetch(absl::Time now) const {
  if (!fetching_ || starved_ || store_->faults.paused) return false;
  for (const Topic& topic : topics_) {
    if (Reads(topic) && topic.group->HasWork(now)) return true;
  }
  return false;
}

bool Member::Turn() {
  const absl::Time now = store_->Now();
  const bool answered = GiveAnswers(now);
  uint64_t wakes;
  {
    absl::MutexLock lock(&store_->mutex);
    if (!MayFetch(now)) return answered;
    wakes = wakes_;
    delivering_ = true;  // From here on, as room() is a call of the sink, too.
  }
  const Room room = sink_->room();
  std::vector<Delivery> batch;
  {
    absl::MutexLock lock(&store_->mutex);
    if (wakes == wakes_) closed_ = room.closed;
    if (room.messages == 0 || room.bytes == 0) {
      starved_ = wakes == wakes_;
    } else if (fetching_) {
      batch = Fetch(room, now);
    }
  }
  const bool delivers = !batch.empty();
  if (delivers) sink_->Deliver(std::move(batch));
  absl::MutexLock lock(&store_->mutex);
  delivering_ = false;
  if (!fetching_) idle_.SignalAll();
  return answered || delivers;
}

size_t Member::BatchLimit(Room room) const {
  size_t ready = 0;
  size_t members = 1;
  for (const Topic& topic : topics_) {
    ready += topic.group->Waiting();
    members = std::max(members, topic.group->members().size());
  }
  // A fair share: what one member holds the others cannot have.
  return std::max<size_t>(1, std::min({kBatch, room.messages, (ready + members - 1) / members}));
}

Slab* Member::NewSlab(size_t size) {
  if (free_.empty()) {
    slabs_.push_back(std::make_unique<Slab>());
    free_.push_back(slabs_.back().get());
  }
  Slab* slab = free_.back();
  free_.pop_back();
  if (slab->recs.size() < size) {
    slab->recs = std::vector<Rec>(size);
    for (Rec& rec : slab->recs) rec.owner = this;
  }
  return slab;
}

std::vector<Delivery> Member::Fetch(Room room, absl::Time now) {
  const size_t limit = BatchLimit(room);
  Slab* slab = NewSlab(limit);
  auto bytes = static_cast<int64_t>(std::min<size_t>(room.bytes, INT64_MAX));
  for (size_t i = 0; i < topics_.size(); ++i) {
    const Topic& topic = topics_[(first_topic_ + i) % topics_.size()];
    if (!room.Reads(topic.group->topic().name())) continue;
    topic.group->Collect(this, topic.ordered, limit, bytes, store_->faults.duplicates, now, *slab);
  }
  ++first_topic_;
  std::vector<Delivery> batch;
  if (slab->used == 0) {
    free_.push_back(slab);
    return batch;
  }
  batch.reserve(slab->used);
  for (size_t i = 0; i < slab->used; ++i) batch.emplace_back(&slab->recs[i]);
  slab->live = slab->used;
  slab->keeper = shared_from_this();
  return batch;
}

std::shared_ptr<void> Member::Vacate(Rec& rec) {
  Slab& slab = *rec.slab;
  rec.retry = nullptr;
  if (--slab.live > 0) return nullptr;
  slab.used = 0;
  slab.segments.clear();
  free_.push_back(&slab);
  return std::move(slab.keeper);
}

void Member::Settle(std::vector<Settlement> batch) {
  {
    absl::MutexLock lock(&store_->mutex);
    if (store_->faults.paused && !left_) {
      held_.insert(held_.end(), std::make_move_iterator(batch.begin()), std::make_move_iterator(batch.end()));
      return;
    }
    const absl::Time now = store_->Now();
    for (Settlement& settlement : batch) Apply(settlement, now);
    if (store_->faults.delay > absl::ZeroDuration() && !left_) {
      late_.emplace_back(now + store_->faults.delay, std::move(batch));
      Signal();
      return;
    }
  }
  sink_->Settled(std::move(batch));
}

bool Member::GiveAnswers(absl::Time now) {
  std::vector<Settlement> answers;
  {
    absl::MutexLock lock(&store_->mutex);
    if (!late_.empty() && late_.front().first <= now) {
      answers = std::move(late_.front().second);
      late_.pop_front();
    } else if (!held_.empty() && (left_ || !store_->faults.paused)) {
      answers = std::move(held_);
      held_.clear();
      for (Settlement& settlement : answers) Apply(settlement, now);
      idle_.SignalAll();
    }
  }
  if (answers.empty()) return false;
  sink_->Settled(std::move(answers));
  return true;
}

void Member::Apply(Settlement& settlement, absl::Time now) {
  auto& rec = *static_cast<Rec*>(settlement.delivery.record());
  if (!rec.claimed) {  // After a crash, or Close: it is others' by now.
    settlement.status = absl::CancelledError("the message was taken over by other members of its group");
    if (settlement.verdict == Settlement::Verdict::kBegin) return;  // Others may be reading it.
    settlement.delivery.Take();
    (void)Vacate(rec);  // Settle's caller keeps us.
    return;
  }
  if (store_->faults.fail_settlements > 0) {
    --store_->faults.fail_settlements;
    settlement.status = store_->faults.settlement_status;
    return;
  }
  settlement.status = absl::OkStatus();
  switch (settlement.verdict) {
    case Settlement::Verdict::kBegin: {
      const Copy& begin = settlement.copies->front();
      rec.from->Begun(rec, begin.failure.handler, begin.failure.attempts, now + begin.delay);
      return;
    }
    case Settlement::Verdict::kRelease:
      rec.from->Return(rec, /*suspect=*/false);
      break;
    case Settlement::Verdict::kAck:
      if (settlement.copies != nullptr) StoreCopies(rec, *settlement.copies, now);
      Finish(rec);
      break;
  }
  if (rec.from->HasWork(now)) store_->Signal(*rec.from);
  settlement.delivery.Take();
  (void)Vacate(rec);
}

// What the topic holds of it, not what the record's views say: those are the reader's.
void Member::StoreCopies(Rec& rec, const std::vector<Copy>& copies, absl::Time now) {
  GroupTopic& group = *rec.from;
  const Stored& message = rec.retry != nullptr ? rec.retry->message : group.topic().At(rec.position);
  for (const Copy& copy : copies) {
    if (copy.kind == Copy::Kind::kRetry) {
      store_->AddRetry(group, message, rec.position, copy, now + copy.delay);
    } else {
      store_->AddDeadLetter(options_.group, message.ToMessage(group.topic().name()), copy.failure);
    }
  }
}

void Member::Finish(Rec& rec) {
  if (rec.retry != nullptr) store_->bytes -= rec.retry->message.ByteSize();
  const int64_t low = rec.from->low();
  rec.from->Done(rec);
  if (low / Segment::kSize != rec.from->low() / Segment::kSize) {
    store_->Forget(rec.from->topic(), store_->options().retain_bytes);
  }
}

void Member::Drop(Record* record) {
  std::shared_ptr<void> keeper;
  absl::MutexLock lock(&store_->mutex);
  auto& rec = *static_cast<Rec*>(record);
  if (rec.claimed) {
    rec.from->Return(rec, /*suspect=*/false);
    store_->Signal(*rec.from);
  }
  keeper = Vacate(rec);
}

void Member::Wake() {
  absl::MutexLock lock(&store_->mutex);
  ++wakes_;
  starved_ = false;
  closed_ = nullptr;
  Signal();
}

void Member::StopFetching() {
  absl::MutexLock lock(&store_->mutex);
  fetching_ = false;
  if (std::this_thread::get_id() == thread_.get_id()) return;
  while (delivering_ && thread_.joinable()) idle_.Wait(&store_->mutex);
}

void Member::Leave() {
  left_ = true;
  fetching_ = false;
  for (Settlement& settlement : held_) {  // They were in good hands, but their verdict never arrived.
    auto& rec = *static_cast<Rec*>(settlement.delivery.record());
    if (rec.claimed) rec.from->Return(rec, /*suspect=*/false);
  }
  for (const auto& slab : slabs_) {
    for (size_t i = 0; i < slab->used; ++i) {
      Rec& rec = slab->recs[i];
      if (rec.claimed) rec.from->Return(rec, /*suspect=*/true);
    }
  }
  for (const Topic& topic : topics_) {
    auto& members = topic.group->members();
    members.erase(std::remove(members.begin(), members.end(), this), members.end());
    store_->Signal(*topic.group);
  }
  Signal();
}

void Member::Crash() {
  absl::MutexLock lock(&store_->mutex);
  if (!left_) Leave();
}

void Member::End() {
  {
    absl::MutexLock lock(&store_->mutex);
    ended_ = true;
    ++signals_;
    changed_.Signal();
  }
  if (thread_.joinable()) thread_.join();
}

absl::Status Member::Close(absl::Time deadline) {
  StopFetching();
  absl::Status status;
  {
    absl::MutexLock lock(&store_->mutex);
    while (!held_.empty() && !store_->simulated() && store_->Now() < deadline) {
      idle_.WaitWithTimeout(&store_->mutex, deadline - store_->Now());
    }
    if (!held_.empty()) status = absl::DeadlineExceededError("the memory broker is paused; verdicts were not taken");
    if (!left_) Leave();
  }
  End();
  std::vector<Settlement> answers;
  {
    absl::MutexLock lock(&store_->mutex);
    for (Settlement& settlement : held_) Apply(settlement, store_->Now());
    answers = std::move(held_);
    held_.clear();
    for (auto& [due, late] : late_) {
      answers.insert(answers.end(), std::make_move_iterator(late.begin()), std::make_move_iterator(late.end()));
    }
    late_.clear();
  }
  if (!answers.empty()) sink_->Settled(std::move(answers));
  return status;
}

int64_t Member::Backlog() {
  absl::MutexLock lock(&store_->mutex);
  int64_t backlog = 0;
  for (const Topic& topic : topics_) backlog += static_cast<int64_t>(topic.group->Waiting());
  return backlog;
}

}  // namespace messaging::memory_internal
