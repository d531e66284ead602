#include "memory/memory_broker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "memory/member.h"
#include "memory/store.h"

namespace messaging {
namespace {

using memory_internal::Member;
using memory_internal::Store;

class MemorySubscription : public Subscription {
 public:
  explicit MemorySubscription(std::shared_ptr<Member> member) : member_(std::move(member)) {}
  ~MemorySubscription() override {
    member_->Crash();  // Nothing, after Close.
    member_->End();
  }
  absl::Status Start() override { return member_->Start(); }
  void Settle(std::vector<Settlement> batch) override { member_->Settle(std::move(batch)); }
  void Wake() override { member_->Wake(); }
  void StopFetching() override { member_->StopFetching(); }
  absl::Status Close(absl::Time deadline) override { return member_->Close(deadline); }
  absl::StatusOr<int64_t> Backlog() override { return member_->Backlog(); }
  void Drop(Record* record) override { member_->Drop(record); }
  Member& member() const { return *member_; }

 private:
  const std::shared_ptr<Member> member_;
};

bool Matches(const DeadLetterFilter& filter, const DeadLetter& letter) {
  auto is = [](const std::string& wanted, const std::string& value) { return wanted.empty() || wanted == value; };
  if (!is(filter.group, letter.group) || !is(filter.topic, letter.message.topic) ||
      !is(filter.handler, letter.failure.handler) || letter.dead_since < filter.since) {
    return false;
  }
  return filter.ids.empty() || std::any_of(filter.ids.begin(), filter.ids.end(), [&](const std::string& id) {
           return id == letter.id || id == letter.message.id;
         });
}

absl::Status Down() { return absl::UnavailableError("the memory broker is paused"); }

std::vector<std::shared_ptr<Member>> Members(Store& store) {
  std::vector<std::shared_ptr<Member>> members;
  absl::MutexLock lock(&store.mutex);
  for (const auto& weak : store.members) {
    if (auto member = weak.lock()) members.push_back(std::move(member));
  }
  return members;
}

}  // namespace

class MemoryBroker::Letters : public DeadLetters {
 public:
  explicit Letters(std::shared_ptr<Store> store) : store_(std::move(store)) {}

  absl::Status List(const DeadLetterFilter& filter, std::function<bool(const DeadLetter&)> visit) override {
    std::vector<DeadLetter> matching;
    {
      absl::MutexLock lock(&store_->mutex);
      if (store_->faults.paused) return Down();
      for (const auto& [number, letter] : store_->dead) {
        if (Matches(filter, letter)) matching.push_back(letter);
      }
    }
    for (const DeadLetter& letter : matching) {
      if (!visit(letter)) break;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> Replay(const DeadLetterFilter& filter) override {
    absl::MutexLock lock(&store_->mutex);
    return Remove(filter, [this](const DeadLetter& letter) {
      store_->mutex.AssertHeld();
      auto& group = store_->Group(letter.group, letter.message.topic, StartAt::kNow);
      memory_internal::Arena arena;
      const auto message = memory_internal::Stored::Copy(letter.message, arena);
      store_->AddRetry(group, message, /*position=*/-1, {.failure = {.handler = letter.failure.handler}},
                       store_->Now());
    });
  }

  absl::StatusOr<int64_t> Purge(const DeadLetterFilter& filter) override {
    absl::MutexLock lock(&store_->mutex);
    return Remove(filter, [](const DeadLetter&) {});
  }

 private:
  template <typename Before>
  absl::StatusOr<int64_t> Remove(const DeadLetterFilter& filter, Before before)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(store_->mutex) {
    if (store_->faults.paused) return Down();
    int64_t removed = 0;
    for (auto letter = store_->dead.begin(); letter != store_->dead.end();) {
      if (!Matches(filter, letter->second)) {
        ++letter;
        continue;
      }
      before(letter->second);
      store_->bytes -= letter->second.message.ByteSize();
      letter = store_->dead.erase(letter);
      ++removed;
    }
    return removed;
  }

  const std::shared_ptr<Store> store_;
};

MemoryBroker::MemoryBroker(MemoryBrokerOptions options)
    : store_(Store::Get(options)), dead_letters_(std::make_unique<Letters>(store_)) {
  capabilities_.admin = capabilities_.keeps_messages = false;  // Nobody else is there to ask.
  capabilities_.several_processes = false;
  capabilities_.durable = false;
  capabilities_.simulated_time = store_->simulated();
  capabilities_.max_message_bytes = store_->options().max_message_bytes;
}

MemoryBroker::~MemoryBroker() { store_->Forsake(this); }

void MemoryBroker::Publish(OutgoingPtr message) { store_->Publish(std::move(message), this); }

absl::StatusOr<std::shared_ptr<Subscription>> MemoryBroker::Subscribe(SubscribeOptions options, DeliverySink* sink) {
  auto member = std::make_shared<Member>(store_, std::move(options), sink, this);
  member->Join();
  return std::make_shared<MemorySubscription>(std::move(member));
}

absl::Status MemoryBroker::Ping(absl::Duration) {
  absl::MutexLock lock(&store_->mutex);
  return store_->faults.paused ? Down() : absl::OkStatus();
}

std::vector<std::string> MemoryBroker::Warnings() {
  return {"the memory broker keeps messages in this process alone: they end with it"};
}

bool MemoryBroker::Step() {
  bool any = store_->Answer(store_->Now());
  for (const auto& member : Members(*store_)) any |= member->Turn();
  return any;
}

absl::Time MemoryBroker::NextEvent() const {
  const std::vector<std::shared_ptr<Member>> members = Members(*store_);
  absl::MutexLock lock(&store_->mutex);
  absl::Time next = store_->NextAnswer();
  for (const auto& member : members) next = std::min(next, member->NextEvent());
  return next;
}

std::vector<Message> MemoryBroker::messages(std::string_view topic) const {
  absl::MutexLock lock(&store_->mutex);
  std::vector<Message> messages;
  const memory_internal::TopicLog& log = store_->Topic(topic);
  for (int64_t i = log.begin(); i < log.end(); ++i) messages.push_back(log.At(i).ToMessage(topic));
  return messages;
}

void MemoryBroker::FailNextPublishes(int n, absl::Status status) {
  absl::MutexLock lock(&store_->mutex);
  store_->faults.fail_publishes += n;
  store_->faults.publish_status = std::move(status);
}

void MemoryBroker::FailNextSettlements(int n, absl::Status status) {
  absl::MutexLock lock(&store_->mutex);
  store_->faults.fail_settlements += n;
  store_->faults.settlement_status = std::move(status);
}

void MemoryBroker::DropNextAnswers(int n) {
  absl::MutexLock lock(&store_->mutex);
  store_->faults.drop_answers += n;
}

void MemoryBroker::DuplicateNext(int n) {
  absl::MutexLock lock(&store_->mutex);
  store_->faults.duplicates += n;
}

void MemoryBroker::DelayAnswers(absl::Duration by) {
  absl::MutexLock lock(&store_->mutex);
  store_->faults.delay = by;
}

void MemoryBroker::Pause() {
  absl::MutexLock lock(&store_->mutex);
  store_->faults.paused = true;
}

void MemoryBroker::Resume() { store_->Resume(); }

void MemoryBroker::Crash(const Subscription& subscription) {
  if (auto* ours = dynamic_cast<const MemorySubscription*>(&subscription)) ours->member().Crash();
}

void MemoryBroker::CrashMembers() {
  for (const auto& member : Members(*store_)) {
    if (member->broker() == this) member->Crash();
  }
}

absl::StatusOr<std::unique_ptr<Broker>> MakeMemoryBroker(const BrokerOptions& options) {
  std::string_view name = options.url;
  if (!name.empty() && !absl::ConsumePrefix(&name, "memory://")) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a URL of the memory broker: \"", options.url, "\"; it is memory:// or memory://NAME"));
  }
  MemoryBrokerOptions made{.name = std::string(name)};
  for (const auto& [key, value] : options.native) {
    size_t* field = key == "max_bytes"           ? &made.max_bytes
                    : key == "max_message_bytes" ? &made.max_message_bytes
                    : key == "retain_bytes"      ? &made.retain_bytes
                                                 : nullptr;
    if (field == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("the memory broker has no option ", key,
                                                     "; it has max_bytes, max_message_bytes and retain_bytes"));
    }
    if (!absl::SimpleAtoi(value, field)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the memory broker's ", key, " is a number of bytes, not ", value));
    }
  }
  return std::make_unique<MemoryBroker>(std::move(made));
}

}  // namespace messaging
