// One group's progress on one topic: what is handed out, to whom, what waits, and which keys are whose. Data and rules
// only; no lock, thread or clock of its own.
//
// The rules: a position is handed out once until it is done or comes back. A key of which something is in hand belongs
// to the member that has it; while something of it is parked (came back, or was met by another member), nothing more of
// it is handed out, until all that is in hand has been settled; then what was parked is free, in order of its position.
#ifndef MEMORY_GROUP_H_
#define MEMORY_GROUP_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "memory/log.h"
#include "messaging/record.h"

namespace messaging::memory_internal {

class GroupTopic;
class Member;  // Only compared here.
struct Slab;

// What is known of earlier deliveries of a message.
struct Note {
  int attempts = 0;
  std::string_view attempts_of;  // Lives as long as the group.
  absl::Time not_before = absl::InfinitePast();
  bool redelivered = false;
  bool suspect = false;
};

// A message that is not in the log any more as far as its group goes: a retry, a replay, a duplicate.
struct Retry {
  Arena arena;
  Stored message;
  int64_t position = -1;  // Of its original.
  std::string handler;    // Empty: for all.
  Note note;
  absl::Time first_failure = absl::InfinitePast();
  std::string last_error;
  std::pair<absl::Time, int64_t> due;  // When, and which of them first.
};

// A message in a member's hand.
struct Rec : Record {
  Slab* slab = nullptr;
  GroupTopic* from = nullptr;
  std::shared_ptr<Retry> retry;  // Null: from the log.
  uint64_t key_hash = 0;
  bool leased = false;   // It counts in its key's lease.
  bool claimed = false;  // The group waits for this member's verdict on it; not after a crash.
};

// The records of one batch, and what their views point into.
struct Slab {
  std::vector<Rec> recs;
  size_t used = 0;
  size_t live = 0;  // Records that somebody holds a Delivery of.
  std::vector<std::shared_ptr<Segment>> segments;
  std::shared_ptr<void> keeper;  // The records' owner, while any is live.
};

class GroupTopic {
 public:
  // From `start` on.
  GroupTopic(TopicLog* topic, int64_t start) : topic_(topic), low_(start), next_(start) {}
  TopicLog& topic() const { return *topic_; }
  std::vector<Member*>& members() { return members_; }

  // Adds to `slab`, until it has `limit` records or `bytes` is used up, what `member` may have now. `ordered`: keys are
  // leased. `duplicates`: so many more are handed out twice.
  void Collect(const Member* member, bool ordered, size_t limit, int64_t& bytes, int& duplicates, absl::Time now,
               Slab& slab);
  // Whether Collect might find something.
  bool HasWork(absl::Time now) const {
    return next_ < topic_->end() || !available_.empty() || (!retries_.empty() && retries_.begin()->first.first <= now);
  }
  size_t Waiting() const { return topic_->end() - next_ + parked_or_available_ + waiting_retries_; }
  absl::Time NextDue() const { return retries_.empty() ? absl::InfiniteFuture() : retries_.begin()->first.first; }

  // What becomes of a claimed record.
  void Done(Rec& rec);
  void Return(Rec& rec, bool suspect);
  void Begun(Rec& rec, const std::string& handler, int attempts, absl::Time not_before);

  void AddRetry(std::shared_ptr<Retry> retry);
  // Everything before is done.
  int64_t low() const { return low_; }

 private:
  enum class State : uint8_t { kInHand, kWaiting, kDone };
  struct Parked {
    std::vector<int64_t> positions;
    std::vector<std::shared_ptr<Retry>> retries;
  };
  struct Lease {
    const Member* owner = nullptr;
    int in_hand = 0;
    std::unique_ptr<Parked> parked;
  };
  // Null: it is in the member's lease now. Else where it has to be parked.
  Lease* Claim(uint64_t key_hash, const Member* member);
  void Unclaim(uint64_t key_hash);
  bool CollectRetry(const Member* member, bool ordered, Slab& slab);
  bool CollectPosition(int64_t position, const Member* member, bool ordered, Slab& slab);
  std::shared_ptr<Retry> Duplicate(const Rec& rec, absl::Time now);
  Rec& Add(Slab& slab, const Stored& message, int64_t position, const Note& note);

  TopicLog* const topic_;
  std::vector<Member*> members_;
  int64_t low_;
  int64_t next_;              // The first that was never handed out nor parked.
  std::deque<State> states_;  // Of the positions from low_ to next_.
  std::set<int64_t> available_;
  absl::flat_hash_map<uint64_t, Lease> leases_;
  absl::flat_hash_map<int64_t, Note> notes_;
  std::map<std::pair<absl::Time, int64_t>, std::shared_ptr<Retry>> retries_;
  std::set<std::string> names_;  // Of handlers; what notes point at.
  size_t parked_or_available_ = 0;
  size_t waiting_retries_ = 0;
  int64_t duplicates_ = 0;
};

}  // namespace messaging::memory_internal

#endif  // MEMORY_GROUP_H_
