// What brokers of one name share: topics, groups, dead letters, faults, and sends whose answer is late.
#ifndef MEMORY_STORE_H_
#define MEMORY_STORE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "memory/group.h"
#include "memory/log.h"
#include "memory/memory_broker.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/clock.h"
#include "messaging/broker/dead_letters.h"
#include "messaging/outgoing.h"

namespace messaging::memory_internal {

class Member;

struct Faults {
  int fail_publishes = 0;
  absl::Status publish_status;
  int fail_settlements = 0;
  absl::Status settlement_status;
  int drop_answers = 0;
  int duplicates = 0;
  absl::Duration delay = absl::ZeroDuration();
  bool paused = false;
};

// One mutex for all of it; no user code runs under it. A batch is collected and settled under one lock.
class Store {
 public:
  explicit Store(const MemoryBrokerOptions& options);
  ~Store();
  // The store of that name, made when there is none.
  static std::shared_ptr<Store> Get(const MemoryBrokerOptions& options);

  bool simulated() const { return options_.clock != nullptr; }
  const MemoryBrokerOptions& options() const { return options_; }
  absl::Time Now() const { return clock_.Now(); }

  // Sends. `broker`: who asks, for Forsake.
  void Publish(OutgoingPtr message, const void* broker) ABSL_LOCKS_EXCLUDED(mutex);
  // Completes what is left of the broker's sends as unknown.
  void Forsake(const void* broker) ABSL_LOCKS_EXCLUDED(mutex);
  // Gives the answers that are due; false: none.
  bool Answer(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex);
  absl::Time NextAnswer() const ABSL_SHARED_LOCKS_REQUIRED(mutex);
  void Resume() ABSL_LOCKS_EXCLUDED(mutex);

  TopicLog& Topic(std::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Made when there is none; then it begins at `start_at`.
  GroupTopic& Group(const std::string& group, const std::string& topic, StartAt start_at)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // A copy for one handler of the group, due at `due`.
  void AddRetry(GroupTopic& to, const Stored& message, int64_t position, const Copy& copy, absl::Time due)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void AddDeadLetter(const std::string& group, Message message, const Failure& failure)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Forgets what every group has handled, while more than `limit` bytes are kept.
  void Forget(TopicLog& topic, size_t limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Members wait for messages of it: there may be some.
  void Signal(GroupTopic& group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  int64_t NextNumber() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) { return next_number_++; }

  mutable absl::Mutex mutex;
  Faults faults ABSL_GUARDED_BY(mutex);
  size_t bytes ABSL_GUARDED_BY(mutex) = 0;
  std::map<int64_t, DeadLetter> dead ABSL_GUARDED_BY(mutex);  // By number, so oldest first.
  std::vector<std::weak_ptr<Member>> members ABSL_GUARDED_BY(mutex);

 private:
  struct TopicState {
    TopicLog log;
    std::map<std::string, std::unique_ptr<GroupTopic>> groups;
    explicit TopicState(std::string name) : log(std::move(name)) {}
  };
  // A send that is not answered at once.
  struct Pending {
    OutgoingPtr outgoing;
    const void* broker;
    absl::Time due = absl::InfiniteFuture();  // When the answer is given.
    std::optional<Outgoing::Result> answer;   // None: not stored, or its answer was dropped.
    bool stored = false;
  };
  using Answers = std::vector<std::pair<OutgoingPtr, Outgoing::Result>>;

  TopicState& State(std::string_view topic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  Outgoing::Result Append(const Message& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Stores it; an answer that is due now goes to `answers`.
  void Accept(OutgoingPtr message, const void* broker, Answers& answers) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void Await(Pending pending) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void RunAnswers();

  const MemoryBrokerOptions options_;
  const Clock& clock_;
  absl::flat_hash_map<std::string, std::unique_ptr<TopicState>> topics_ ABSL_GUARDED_BY(mutex);
  absl::flat_hash_map<const TopicLog*, TopicState*> states_ ABSL_GUARDED_BY(mutex);
  std::deque<Pending> pending_ ABSL_GUARDED_BY(mutex);
  size_t unstored_ ABSL_GUARDED_BY(mutex) = 0;
  int64_t next_number_ ABSL_GUARDED_BY(mutex) = 0;
  bool ending_ ABSL_GUARDED_BY(mutex) = false;
  absl::CondVar pending_changed_;
  std::thread answering_ ABSL_GUARDED_BY(mutex);  // Real time only; started when an answer is late for the first time.
};

}  // namespace messaging::memory_internal

#endif  // MEMORY_STORE_H_
