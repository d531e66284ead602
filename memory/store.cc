#include "memory/store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "memory/member.h"

namespace messaging::memory_internal {
namespace {

// Real-time deadlines are looked at so often, not for each message on its own.
constexpr absl::Duration kTick = absl::Milliseconds(1);

struct Names {
  absl::Mutex mutex;
  std::map<std::string, std::weak_ptr<Store>> stores ABSL_GUARDED_BY(mutex);
};

Outgoing::Result Unknown(std::string_view why) {
  return absl::DeadlineExceededError(absl::StrCat(why, ": it may or may not be stored"));
}

}  // namespace

Store::Store(const MemoryBrokerOptions& options)
    : options_(options), clock_(options.clock != nullptr ? *options.clock : Clock::Steady()) {}

Store::~Store() {
  std::thread answering;
  {
    absl::MutexLock lock(&mutex);
    ending_ = true;
    pending_changed_.SignalAll();
    answering = std::move(answering_);
  }
  if (answering.joinable()) answering.join();
}

std::shared_ptr<Store> Store::Get(const MemoryBrokerOptions& options) {
  if (options.name.empty()) return std::make_shared<Store>(options);
  static Names* const names = new Names;
  absl::MutexLock lock(&names->mutex);
  std::weak_ptr<Store>& known = names->stores[options.name];
  std::shared_ptr<Store> store = known.lock();
  if (store == nullptr) known = store = std::make_shared<Store>(options);
  return store;
}

Store::TopicState& Store::State(std::string_view topic) {
  auto found = topics_.find(topic);
  if (found != topics_.end()) return *found->second;
  auto& state = topics_[std::string(topic)] = std::make_unique<TopicState>(std::string(topic));
  states_[&state->log] = state.get();
  return *state;
}

TopicLog& Store::Topic(std::string_view name) { return State(name).log; }

GroupTopic& Store::Group(const std::string& group, const std::string& topic, StartAt start_at) {
  TopicState& state = State(topic);
  std::unique_ptr<GroupTopic>& known = state.groups[group];
  if (known == nullptr) {
    const int64_t start = start_at == StartAt::kBeginning ? state.log.begin() : state.log.end();
    known = std::make_unique<GroupTopic>(&state.log, start);
  }
  return *known;
}

void Store::Signal(GroupTopic& group) {
  for (Member* member : group.members()) member->Signal();
}

void Store::Forget(TopicLog& topic, size_t limit) {
  if (bytes <= limit) return;
  const TopicState& state = *states_.at(&topic);
  if (state.groups.empty()) return;  // Nobody has handled anything yet.
  int64_t low = topic.end();
  for (const auto& [name, group] : state.groups) low = std::min(low, group->low());
  while (bytes > limit) {
    const size_t freed = topic.ForgetBefore(low);
    if (freed == 0) return;
    bytes -= freed;
  }
}

Outgoing::Result Store::Append(const Message& message) {
  if (message.payload.size() > options_.max_message_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("the message has ", message.payload.size(),
                                                   " bytes; the memory broker takes ", options_.max_message_bytes));
  }
  TopicState& state = State(message.topic);
  const size_t size = message.ByteSize();
  if (bytes + size > options_.max_bytes) {
    Forget(state.log, options_.max_bytes - std::min(size, options_.max_bytes));
    if (bytes + size > options_.max_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the memory broker is full: it holds ", bytes, " of at most ", options_.max_bytes, " bytes"));
    }
  }
  const int64_t position = state.log.Append(message);
  bytes += state.log.At(position).ByteSize();
  for (auto& [name, group] : state.groups) Signal(*group);
  return Receipt{.id = message.id, .position = position};
}

void Store::Accept(OutgoingPtr message, const void* broker, Answers& answers) {
  if (faults.fail_publishes > 0) {
    --faults.fail_publishes;
    answers.emplace_back(std::move(message), faults.publish_status);
    return;
  }
  Outgoing::Result result = Append(message->message());
  if (result.ok() && faults.drop_answers > 0) {
    --faults.drop_answers;
    return Await({.outgoing = std::move(message), .broker = broker, .stored = true});
  }
  if (faults.delay > absl::ZeroDuration()) {
    return Await({.outgoing = std::move(message),
                  .broker = broker,
                  .due = Now() + faults.delay,
                  .answer = std::move(result),
                  .stored = true});
  }
  answers.emplace_back(std::move(message), std::move(result));
}

void Store::Publish(OutgoingPtr message, const void* broker) {
  Answers answers;
  {
    absl::MutexLock lock(&mutex);
    if (faults.paused || unstored_ > 0) {
      Await({.outgoing = std::move(message), .broker = broker});
      return;
    }
    Accept(std::move(message), broker, answers);
  }
  for (auto& [outgoing, result] : answers) outgoing->Complete(std::move(result));
}

void Store::Await(Pending pending) {
  if (!pending.stored) ++unstored_;
  pending_.push_back(std::move(pending));
  if (simulated()) return;
  if (!answering_.joinable()) answering_ = std::thread([this] { RunAnswers(); });
  pending_changed_.Signal();
}

absl::Time Store::NextAnswer() const {
  absl::Time next = absl::InfiniteFuture();
  for (const Pending& pending : pending_) next = std::min({next, pending.due, pending.outgoing->deadline()});
  return next;
}

bool Store::Answer(absl::Time now) {
  Answers answers;
  {
    absl::MutexLock lock(&mutex);
    if (pending_.empty()) return false;
    std::deque<Pending> later;
    for (Pending& pending : pending_) {
      if (pending.due <= now && pending.answer) {
        answers.emplace_back(std::move(pending.outgoing), *std::move(pending.answer));
      } else if (pending.outgoing->deadline() <= now) {
        if (!pending.stored) --unstored_;
        answers.emplace_back(std::move(pending.outgoing), Unknown("no answer within the deadline"));
      } else {
        later.push_back(std::move(pending));
      }
    }
    pending_ = std::move(later);
  }
  for (auto& [outgoing, result] : answers) outgoing->Complete(std::move(result));
  return !answers.empty();
}

void Store::RunAnswers() {
  while (true) {
    Answer(Now());
    absl::MutexLock lock(&mutex);
    if (ending_) return;
    const absl::Duration left = NextAnswer() - Now();
    if (left <= absl::ZeroDuration()) continue;
    if (left == absl::InfiniteDuration()) {
      pending_changed_.Wait(&mutex);
    } else {
      pending_changed_.WaitWithTimeout(&mutex, std::max(left, kTick));
    }
  }
}

void Store::Forsake(const void* broker) {
  Answers answers;
  {
    absl::MutexLock lock(&mutex);
    std::deque<Pending> others;
    for (Pending& pending : pending_) {
      if (pending.broker != broker) {
        others.push_back(std::move(pending));
        continue;
      }
      if (!pending.stored) --unstored_;
      answers.emplace_back(std::move(pending.outgoing), Unknown("the broker was closed"));
    }
    pending_ = std::move(others);
  }
  for (auto& [outgoing, result] : answers) outgoing->Complete(std::move(result));
}

void Store::Resume() {
  Answers answers;
  {
    absl::MutexLock lock(&mutex);
    faults.paused = false;
    std::deque<Pending> waited = std::exchange(pending_, {});
    for (Pending& pending : waited) {
      if (pending.stored) {
        pending_.push_back(std::move(pending));
      } else {
        --unstored_;
        Accept(std::move(pending.outgoing), pending.broker, answers);
      }
    }
    for (auto& weak : members) {
      if (auto member = weak.lock()) member->Signal();
    }
  }
  for (auto& [outgoing, result] : answers) outgoing->Complete(std::move(result));
}

void Store::AddRetry(GroupTopic& to, const Stored& message, int64_t position, const Copy& copy, absl::Time due) {
  auto retry = std::make_shared<Retry>();
  retry->message = Stored::Copy(message, retry->arena);
  retry->position = position;
  retry->handler = copy.failure.handler;
  retry->note.attempts = copy.failure.attempts;
  retry->note.redelivered = retry->note.suspect = copy.suspect;
  retry->first_failure = copy.failure.first;
  if (!copy.failure.status.ok()) retry->last_error = copy.failure.status.ToString();
  retry->due = {due, NextNumber()};
  bytes += retry->message.ByteSize();
  to.AddRetry(std::move(retry));
  Signal(to);
}

void Store::AddDeadLetter(const std::string& group, Message message, const Failure& failure) {
  const int64_t number = NextNumber();
  bytes += message.ByteSize();
  dead[number] = {.id = absl::StrCat(number),
                  .group = group,
                  .message = std::move(message),
                  .failure = failure,
                  .dead_since = Now()};
}

}  // namespace messaging::memory_internal
