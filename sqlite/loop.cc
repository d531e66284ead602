#include "sqlite/loop.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "messaging/broker/clock.h"
#include "messaging/log.h"

namespace messaging::sqlite {
namespace {

constexpr size_t kMostSends = 4000;  // A transaction: some ten milliseconds. More would only delay the first answer.
constexpr size_t kMostSendBytes = 8 << 20;
constexpr size_t kMostFetched = 1000;  // For one subscription and transaction.
// In case an event was missed (inotify's limits, a file system without it).
constexpr absl::Duration kSafetyPoll = absl::Seconds(1);
// After a failed transaction: some failures come at once, over and over.
constexpr absl::Duration kPause = absl::Milliseconds(20);
constexpr absl::Duration kCleanEvery = absl::Seconds(30);

}  // namespace

absl::StatusOr<std::shared_ptr<Loop>> Loop::Open(const SqliteOptions& options) {
  absl::StatusOr<std::unique_ptr<Store>> store =
      Store::Open({.path = options.path, .full_sync = options.full_synchronous, .busy = options.busy_timeout});
  if (!store.ok()) return store.status();
  const std::string lock_file = options.path + "-lock";
  absl::StatusOr<std::unique_ptr<MemberLocks>> locks = MemberLocks::Open(lock_file);
  if (!locks.ok()) return locks.status();
  auto wake = messaging::sqlite::Wake::Open(options.path + "-wake", lock_file);
  if (!wake.ok()) return wake.status();
  const MachineClock& machine = options.machine != nullptr ? *options.machine : MachineClock::Own();
  absl::StatusOr<absl::Time> boot_time = (*store)->BootTime(machine);
  // Another process has been writing for long: without a time in common until the next one opens the file.
  if (absl::IsUnavailable(boot_time.status())) boot_time = machine.wall() - machine.since_boot();
  if (!boot_time.ok()) return boot_time.status();
  std::shared_ptr<Loop> loop(
      new Loop(options, FileClock(machine, *boot_time), *std::move(store), *std::move(locks), *std::move(wake)));
  loop->thread_ = std::thread([raw = loop.get()] { raw->RunThread(); });
  return loop;
}

Loop::~Loop() { Stop(); }

void Loop::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  Notify();
  if (thread_.joinable()) thread_.join();
  std::deque<OutgoingPtr> left;
  {
    absl::MutexLock lock(&mutex_);
    left.swap(sends_);
  }
  for (const OutgoingPtr& send : left)
    send->Complete(absl::DeadlineExceededError("the program ended before it was stored"));
}

void Loop::Publish(OutgoingPtr message) {
  bool first;
  {
    absl::MutexLock lock(&mutex_);
    if (!stopping_) {
      first = sends_.empty();
      sends_.push_back(std::move(message));
    }
  }
  if (message != nullptr) return message->Complete(absl::DeadlineExceededError("the broker is closed"));
  if (first) Notify();
}

absl::Status Loop::Run(std::function<absl::Status(Store&)> work, absl::Time deadline) {
  auto command = std::make_shared<Command>();
  command->work = std::move(work);
  absl::MutexLock lock(&mutex_);
  if (stopping_) return absl::UnavailableError("the broker is closed");
  commands_.push_back(command);
  Notify();
  while (!command->done) {
    if (commanded_.WaitWithDeadline(&mutex_, deadline) && !command->done) {
      command->abandoned = true;
      return absl::DeadlineExceededError(
          absl::StrCat("sqlite database ", options_.path, ": another process has been writing to it all the time"));
    }
  }
  return command->result;
}

absl::Status Loop::Join(std::shared_ptr<Member> member) {
  auto locked = std::make_shared<int64_t>(0);  // Shared: it may still run after the limit here.
  absl::Status joined = Run(
      [this, member, locked](Store& store) -> absl::Status {
        if (*locked != 0) locks_->Unlock(std::exchange(*locked, 0));  // An attempt before that was rolled back.
        absl::StatusOr<int64_t> group = store.Group(member->options_.group);
        if (!group.ok()) return group.status();
        std::vector<Member::Topic> topics;
        for (const TopicPlan& plan : member->options_.topics) {
          absl::StatusOr<int64_t> topic = store.Topic(plan.topic);
          if (!topic.ok()) return topic.status();
          absl::Status status = store.Join(*group, *topic, member->options_.start_at);
          if (!status.ok()) return status;
          topics.push_back({*topic, plan.topic, plan.ordered});
        }
        absl::StatusOr<int64_t> id = store.AddMember(*group, member->options_.member);
        if (!id.ok()) return id.status();
        // Before the commit that shows the member to others, or they would take it for dead.
        if (absl::Status status = locks_->Lock(*id); !status.ok()) return status;
        *locked = *id;
        member->id_ = *id;
        member->group_ = *group;
        member->topics_ = std::move(topics);
        return absl::OkStatus();
      },
      absl::Now() + absl::Seconds(30));
  if (!joined.ok()) {
    // The number was rolled back with the row, and may be another process's next.
    if (*locked != 0) locks_->Unlock(*locked);
    return joined;
  }
  absl::MutexLock lock(&mutex_);
  members_.push_back(std::move(member));
  return absl::OkStatus();
}

absl::Status Loop::Leave(const std::shared_ptr<Member>& member, absl::Time deadline) {
  {
    absl::MutexLock lock(&mutex_);
    if (std::find(members_.begin(), members_.end(), member) == members_.end()) return absl::OkStatus();
  }
  absl::Status left = Run(
      [this, member](Store& store) -> absl::Status {
        // Its verdicts first: commands come after what was given before them, but some may have come in between.
        Round::Verdicts verdicts{.member = member};
        {
          absl::MutexLock lock(&member->mutex_);
          verdicts.settlements.swap(member->verdicts_);
          verdicts.dropped.swap(member->dropped_);
        }
        bool frees = false;
        absl::Status status = ApplyVerdicts(verdicts, frees);
        if (status.ok()) status = store.RemoveMember(member->id_, /*clean=*/true);
        absl::MutexLock lock(&member->mutex_);
        if (!status.ok()) {
          verdicts.settlements.swap(member->verdicts_);
          return status;
        }
        member->left_ = true;
        for (Settlement& settlement : verdicts.settlements) {
          if (Record* record = settlement.delivery.Take()) Batch::Free(static_cast<WorkRecord*>(record));
        }
        return absl::OkStatus();
      },
      deadline);
  // Not left in time: whoever looks next takes what it held for a dead member's.
  locks_->Unlock(member->id_);
  {
    absl::MutexLock lock(&mutex_);
    std::erase(members_, member);
  }
  wake_->TellOthers();
  return left;
}

void Loop::RunThread() {
  while (true) {
    RunCommands();
    Round round;
    Gather(round);
    if (round.empty() && !WantsFetch()) {
      {
        absl::MutexLock lock(&mutex_);
        if (stopping_ && commands_.empty()) return;
      }
      CleanSometimes();
      Sleep();
      continue;
    }
    absl::Status done = Transact(round);
    if (done.ok()) {
      complained_ = false;
      Answer(round);
      Deliver(round);
      if (!round.sends.empty() || round.frees) {
        WantAll();
        wake_->TellOthers();
      }
      continue;
    }
    const bool for_good = absl::IsDataLoss(done);
    if (!complained_) Log(Severity::kWarning, absl::StrCat(done.message(), for_good ? "" : "; trying again"));
    complained_ = true;
    Refuse(round, done);
    if (for_good) FailAll(done);
    absl::MutexLock lock(&mutex_);
    if (stopping_) return;
  }
}

void Loop::RunCommands() {
  while (true) {
    std::shared_ptr<Command> command;
    {
      absl::MutexLock lock(&mutex_);
      if (commands_.empty()) return;
      command = commands_.front();
      if (command->abandoned) {
        commands_.pop_front();
        continue;
      }
    }
    absl::Status result = InTransaction(command->work);
    if (absl::IsUnavailable(result)) absl::SleepFor(kPause);
    absl::MutexLock lock(&mutex_);
    if (absl::IsUnavailable(result) && !command->abandoned && !stopping_) continue;  // Busy: again, until its deadline.
    commands_.pop_front();
    command->result = std::move(result);
    command->done = true;
    commanded_.SignalAll();
  }
}

absl::Status Loop::InTransaction(const std::function<absl::Status(Store&)>& work) {
  absl::Status status = store_->Begin();
  if (status.ok()) status = work(*store_);
  if (status.ok()) status = store_->Commit();
  if (!status.ok()) store_->Rollback();
  return status;
}

void Loop::Gather(Round& round) {
  std::vector<std::shared_ptr<Member>> members;
  {
    absl::MutexLock lock(&mutex_);
    size_t bytes = 0;
    while (!sends_.empty() && round.sends.size() < kMostSends && bytes < kMostSendBytes) {
      bytes += sends_.front()->bytes();
      round.sends.push_back(std::move(sends_.front()));
      sends_.pop_front();
    }
    members = members_;
  }
  for (const auto& member : members) {
    absl::MutexLock lock(&member->mutex_);
    if (member->verdicts_.empty() && member->dropped_.empty()) continue;
    round.verdicts.push_back({.member = member,
                              .settlements = std::exchange(member->verdicts_, {}),
                              .dropped = std::exchange(member->dropped_, {})});
  }
}

bool Loop::WantsFetch() {
  absl::MutexLock lock(&mutex_);
  return std::any_of(members_.begin(), members_.end(), [](const std::shared_ptr<Member>& member) {
    absl::MutexLock member_lock(&member->mutex_);
    return member->wanted_;
  });
}

absl::Status Loop::Transact(Round& round) {
  return InTransaction([&](Store&) -> absl::Status {
    round.receipts.clear();
    round.fetched.clear();
    round.frees = false;
    absl::Status applied = Apply(round);
    return applied.ok() ? FetchAll(round) : applied;
  });
}

absl::Status Loop::Apply(Round& round) {
  const absl::Time now = Now();
  for (const OutgoingPtr& send : round.sends) {
    if (send->resolved()) {  // Its deadline has passed: it must not appear after that.
      round.receipts.push_back(absl::DeadlineExceededError("not sent before its deadline"));
      continue;
    }
    absl::StatusOr<int64_t> seq = store_->Append(send->message(), now);
    if (!seq.ok()) return seq.status();
    round.receipts.push_back(Receipt{.position = *seq});
  }
  for (Round::Verdicts& verdicts : round.verdicts) {
    if (absl::Status status = ApplyVerdicts(verdicts, round.frees); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Loop::ApplyVerdicts(Round::Verdicts& verdicts, bool& frees) {
  const absl::Time now = Now();
  const int64_t member = verdicts.member->id_;
  for (Settlement& settlement : verdicts.settlements) {
    const int64_t work = static_cast<WorkRecord*>(settlement.delivery.record())->work;
    absl::StatusOr<bool> ours = false;
    switch (settlement.verdict) {
      case Settlement::Verdict::kAck:
        ours = store_->Ack(work, member, settlement.copies.get(), now);
        // The key may be another member's turn now.
        frees = frees || settlement.copies != nullptr || settlement.delivery.record()->has_key;
        break;
      case Settlement::Verdict::kRelease:
        ours = store_->Release(work, member);
        frees = true;
        break;
      case Settlement::Verdict::kBegin:
        ours = store_->NoteAttempts(work, member, settlement.copies->front(), now);
        break;
    }
    if (!ours.ok()) return ours.status();
    settlement.status = *ours ? absl::OkStatus() : absl::CancelledError("another member has taken it over");
  }
  for (int64_t work : verdicts.dropped) {
    if (absl::StatusOr<bool> released = store_->Release(work, member); !released.ok()) return released.status();
    frees = true;
  }
  return absl::OkStatus();
}

absl::Status Loop::FetchAll(Round& round) {
  std::vector<std::shared_ptr<Member>> members;
  {
    absl::MutexLock lock(&mutex_);
    members = members_;
  }
  for (const auto& member : members) {
    bool wanted;
    {
      absl::MutexLock lock(&member->mutex_);
      // New messages of this very transaction count, too.
      wanted = std::exchange(member->wanted_, false) || !round.sends.empty() || round.frees;
    }
    if (!wanted) continue;
    if (absl::Status status = FetchFor(member, round); !status.ok()) {
      absl::MutexLock lock(&member->mutex_);
      member->wanted_ = true;
      return status;
    }
  }
  return absl::OkStatus();
}

absl::Status Loop::FetchFor(const std::shared_ptr<Member>& member, Round& round) {
  {
    absl::MutexLock lock(&member->delivering_);
    if (!member->fetching_) return absl::OkStatus();
  }
  Room room = member->sink_->room();
  if (room.messages == 0 || room.bytes == 0) return absl::OkStatus();  // Wake comes when there is room.
  const absl::Time now = Now();
  size_t left = std::min(room.messages, kMostFetched);
  size_t bytes_left = room.bytes;
  auto batch = std::make_unique<Batch>();
  const size_t topics = member->topics_.size();
  for (size_t i = 0; i < topics && left > 0 && bytes_left > 0; ++i) {
    const Member::Topic& topic = member->topics_[(member->first_topic_ + i) % topics];
    if (!room.Reads(topic.name)) continue;
    const size_t had = batch->records.size();
    absl::Status fetched = store_->Fetch({.group = member->group_,
                                          .topic = topic.id,
                                          .name = topic.name,
                                          .member = member->id_,
                                          .ordered = topic.ordered,
                                          .messages = left,
                                          .bytes = bytes_left},
                                         now, *batch);
    if (!fetched.ok()) return fetched;
    left -= batch->records.size() - had;
    for (size_t j = had; j < batch->records.size(); ++j) {
      absl::Time& not_before = batch->records[j].not_before;  // The engine has a clock of its own.
      if (not_before > now) not_before = Clock::Steady().Now() + (not_before - now);
      bytes_left -= std::min(bytes_left, batch->records[j].ByteSize());
    }
    absl::StatusOr<absl::Time> due = store_->NextDue(member->group_, topic.id, now);
    if (!due.ok()) return due.status();
    next_due_ = std::min(next_due_, *due);
  }
  ++member->first_topic_;
  if (left == 0 || bytes_left == 0) {  // There may be more.
    absl::MutexLock lock(&member->mutex_);
    member->wanted_ = true;
  }
  if (!batch->records.empty()) round.fetched.emplace_back(member, std::move(batch));
  return absl::OkStatus();
}

void Loop::Answer(Round& round) {
  for (size_t i = 0; i < round.sends.size(); ++i) round.sends[i]->Complete(std::move(round.receipts[i]));
  for (Round::Verdicts& verdicts : round.verdicts) {
    for (Settlement& settlement : verdicts.settlements) {
      // What others read still after a Begin.
      const bool stays = settlement.verdict == Settlement::Verdict::kBegin;
      if (!stays) Batch::Free(static_cast<WorkRecord*>(settlement.delivery.Take()));
    }
    if (!verdicts.settlements.empty()) verdicts.member->sink_->Settled(std::move(verdicts.settlements));
  }
}

// Nothing of the round was done. Busy: it is tried again with the next one. Else everybody is told.
void Loop::Refuse(Round& round, const absl::Status& why) {
  const bool again = absl::IsUnavailable(why);
  if (again) {
    absl::MutexLock lock(&mutex_);
    sends_.insert(sends_.begin(), std::make_move_iterator(round.sends.begin()),
                  std::make_move_iterator(round.sends.end()));
  } else {
    for (const OutgoingPtr& send : round.sends) send->Complete(why);
  }
  absl::SleepFor(kPause);
  for (Round::Verdicts& verdicts : round.verdicts) {
    absl::ReleasableMutexLock lock(&verdicts.member->mutex_);
    auto& dropped = verdicts.member->dropped_;
    dropped.insert(dropped.begin(), verdicts.dropped.begin(), verdicts.dropped.end());
    if (again) {
      auto& waiting = verdicts.member->verdicts_;
      waiting.insert(waiting.begin(), std::make_move_iterator(verdicts.settlements.begin()),
                     std::make_move_iterator(verdicts.settlements.end()));
      continue;
    }
    lock.Release();
    for (Settlement& settlement : verdicts.settlements) settlement.status = why;
    if (!verdicts.settlements.empty()) verdicts.member->sink_->Settled(std::move(verdicts.settlements));
  }
  // What was fetched stays with the database: the transaction that dealt it out is undone.
  for (auto& [member, batch] : round.fetched) {
    absl::MutexLock lock(&member->mutex_);
    member->wanted_ = true;
  }
}

void Loop::Deliver(Round& round) {
  for (auto& [member, batch] : round.fetched) {
    Batch* kept = batch.release();  // Its records free it.
    kept->live = kept->records.size();
    std::vector<Delivery> deliveries;
    deliveries.reserve(kept->records.size());
    for (WorkRecord& record : kept->records) {
      record.owner = member.get();
      deliveries.emplace_back(&record);
    }
    absl::MutexLock lock(&member->delivering_);
    if (!member->fetching_) continue;  // It stopped meanwhile: dropping them gives them back.
    member->sink_->Deliver(std::move(deliveries));
  }
}

// The file is broken: no subscription can go on.
void Loop::FailAll(const absl::Status& why) {
  std::vector<std::shared_ptr<Member>> members;
  {
    absl::MutexLock lock(&mutex_);
    members = members_;
  }
  for (const auto& member : members) member->sink_->Fail(why);
}

void Loop::WantAll() {
  absl::MutexLock lock(&mutex_);
  for (const auto& member : members_) {
    absl::MutexLock member_lock(&member->mutex_);
    member->wanted_ = true;
  }
}

void Loop::Sleep() {
  absl::Time until = Now() + kSafetyPoll;
  {
    absl::MutexLock lock(&mutex_);
    if (!members_.empty()) until = std::min({until, next_due_, next_check_});
  }
  const messaging::sqlite::Wake::Event event = wake_->Wait(std::max(until - Now(), absl::ZeroDuration()));
  const absl::Time now = Now();
  bool look = now >= next_due_;
  if (look) next_due_ = absl::InfiniteFuture();  // FetchFor finds the next one.
  const bool check = event.ended || now >= next_check_;
  if (event.others || check) {
    absl::StatusOr<int64_t> version = store_->DataVersion();
    if (version.ok() && *version != data_version_) {
      data_version_ = *version;
      look = true;
    }
  }
  // The first member of this process looks at once: who ended before it came told nobody here.
  if (check && TakeOverFromDead()) next_check_ = now + kSafetyPoll;
  if (look) WantAll();
}

// Members whose process has ended: what they held is suspect, and free.
bool Loop::TakeOverFromDead() {
  std::vector<int64_t> own;
  {
    absl::MutexLock lock(&mutex_);
    if (members_.empty()) return false;
    for (const auto& member : members_) own.push_back(member->id_);
  }
  absl::StatusOr<std::vector<int64_t>> all = store_->Members();
  if (!all.ok()) return true;
  for (int64_t member : *all) {
    if (std::find(own.begin(), own.end(), member) != own.end() || locks_->HeldElsewhere(member)) continue;
    absl::Status taken = InTransaction([&](Store& store) { return store.RemoveMember(member, /*clean=*/false); });
    if (!taken.ok()) continue;  // At the next check, then.
    Log(Severity::kInfo, absl::StrCat("sqlite: member ", member, " has ended; what it held is handled again"));
    WantAll();
    wake_->TellOthers();
  }
  return true;
}

void Loop::CleanSometimes() {
  const absl::Time now = Now();
  if (now < next_clean_) return;
  const bool first = next_clean_ == absl::InfinitePast();
  next_clean_ = now + kCleanEvery;
  if (first) return;
  (void)InTransaction([&](Store& store) { return store.Clean(now - options_.retention, 2000); });
}

}  // namespace messaging::sqlite
