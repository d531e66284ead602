// How far a group has come in one partition, and how that is written to the server. A state machine without I/O.
//
// A group's position in Kafka is one number a partition: all before it is done. What is done behind it, what may be in
// somebody's hand, and which attempts were started, stands in the commit's metadata, so that the next owner repeats
// nothing and knows its suspects. The text, at most kMaxMetadata long, is
//
//   m1;h40;e120;b6Zw;r3-2,9-1;n7,2,0,9f86d081
//
//   h   handed out: below position + 40, as far as the owner had come then
//   e   open: what lies below position + 120 may have been in the hand of an owner that did not end as it should;
//       it is missing after an orderly end
//   b,r done behind the position: as bits (base64, six offsets a character, the position's own first), or as runs:
//       after 3 that are not, 2 that are, after 9 more 1. Whichever is shorter; what would be too long is cut
//   n   a Begin: position + 7 has had 2 attempts, the next not before 0 (microseconds), by the handler of that hash
#ifndef KAFKA_OFFSETS_H_
#define KAFKA_OFFSETS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace messaging::kafka {

inline constexpr size_t kMaxMetadata = 4'000;  // The server's own limit is 4,096 (offset.metadata.max.bytes).

// Of a handler's name; stays what it is.
uint32_t HandlerHash(std::string_view name);

class Offsets {
 public:
  struct Note {
    int attempts = 0;
    absl::Time not_before = absl::InfinitePast();
    uint32_t handler = 0;
  };
  struct Commit {
    int64_t position = 0;
    std::string metadata;
    int64_t claim = 0;  // Given to Committed when it is.
    bool operator==(const Commit& other) const { return position == other.position && metadata == other.metadata; }
  };

  // Where nobody has been.
  explicit Offsets(int64_t position = 0) : next_(position), claimed_(position), asked_(position) {}
  // From what was committed. Metadata that is not ours says nothing.
  static Offsets Resume(int64_t position, std::string_view metadata);

  // Reading. A message at `offset`, which rises: may it be delivered, or has it to wait, or is it done already (and
  // behind us then)?
  enum class Admission { kDeliver, kWait, kDone };
  Admission Admit(int64_t offset);
  // It is in hand from now on; the number is for Done.
  uint64_t Add(int64_t offset);
  bool IsSuspect(int64_t offset) const { return offset < suspect_until_; }
  const Note* FindNote(int64_t offset) const;

  // Of what is committed, to look at: how many below `end` are in somebody's hand, and how many are not handed out.
  struct Counts {
    int64_t in_hand = 0;
    int64_t waiting = 0;
  };
  static Counts Look(int64_t position, std::string_view metadata, int64_t end);

  // Settling.
  void Done(uint64_t number);
  void SetNote(int64_t offset, Note note) { notes_[offset] = note; }

  // Committing. `open`: this owner goes on; else it leaves, and what it has not done is for the next.
  Commit MakeCommit(bool open);
  void Committed(const Commit& commit) { claimed_ = std::max(claimed_, commit.claim); }
  // More should be claimed soon.
  bool wants_claim() const { return starved_ || next_ + window_ / 2 >= asked_; }

  int64_t position() const { return hand_.empty() ? next_ : hand_.front().offset; }
  int64_t next() const { return next_; }  // What is read next.
  size_t span() const { return hand_.size(); }
  bool all_done() const { return hand_.empty(); }

 private:
  struct InHand {
    int64_t offset;
    bool done;
  };
  std::vector<std::pair<int64_t, int64_t>> DoneRuns(int64_t position) const;

  std::deque<InHand> hand_;  // From the first that is not done.
  uint64_t first_number_ = 0;
  int64_t next_;
  int64_t claimed_;            // What lies below may be delivered: the server knows.
  int64_t asked_;              // What the last commit claims.
  int64_t handed_ = 0;         // Resume: how far a former owner had come that had not ended.
  int64_t suspect_until_ = 0;  // Below this they may have been in a dead owner's hand.
  int64_t careful_until_ = 0;  // The same, but they are too many: claimed in small steps instead.
  int64_t window_ = kSmallWindow;
  int64_t added_ = 0;  // Since the last commit.
  bool starved_ = false;
  std::deque<std::pair<int64_t, int64_t>> done_before_;  // By former owners: from, to.
  std::map<int64_t, Note> notes_;

  static constexpr int64_t kSmallWindow = 32;
  static constexpr int64_t kMaxWindow = 100'000;
  static constexpr int64_t kMaxSuspects = 2'000;
};

}  // namespace messaging::kafka

#endif  // KAFKA_OFFSETS_H_
