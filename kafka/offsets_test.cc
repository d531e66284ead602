#include "kafka/offsets.h"

#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace messaging::kafka {
namespace {

using Admission = Offsets::Admission;

// Opens it as far as its window reaches.
void Claim(Offsets& offsets) { offsets.Committed(offsets.MakeCommit(true)); }

TEST(OffsetsTest, ThePositionIsTheFirstThatIsNotDone) {
  Offsets offsets(10);
  EXPECT_EQ(offsets.position(), 10);
  std::vector<uint64_t> numbers;
  for (const int64_t offset : {10, 11, 13, 14}) numbers.push_back(offsets.Add(offset));  // 12: a gap.
  EXPECT_EQ(offsets.next(), 15);
  struct Row {
    int done;
    int64_t position;
  };
  for (const Row& row : std::vector<Row>{{1, 10}, {0, 13}, {3, 13}, {2, 15}}) {
    offsets.Done(numbers[row.done]);
    EXPECT_EQ(offsets.position(), row.position) << row.done;
  }
  EXPECT_TRUE(offsets.all_done());
}

TEST(OffsetsTest, NothingIsDeliveredThatTheServerDoesNotKnow) {
  Offsets offsets(5);
  EXPECT_EQ(offsets.Admit(5), Admission::kWait);
  EXPECT_TRUE(offsets.wants_claim());
  const Offsets::Commit commit = offsets.MakeCommit(true);
  EXPECT_EQ(offsets.Admit(5), Admission::kWait) << "not before it is answered";
  offsets.Committed(commit);
  EXPECT_EQ(offsets.Admit(5), Admission::kDeliver);
  EXPECT_EQ(offsets.Admit(commit.claim - 1), Admission::kDeliver);
  EXPECT_EQ(offsets.Admit(commit.claim), Admission::kWait);
}

TEST(OffsetsTest, TheWindowGrowsWithDemandAndShrinksWithoutIt) {
  Offsets offsets;
  int64_t offset = 0;
  int64_t widest = 0;
  for (int round = 0; round < 20; ++round) {
    Claim(offsets);
    const int64_t before = offset;
    while (offsets.Admit(offset) == Admission::kDeliver) offsets.Done(offsets.Add(offset++));
    EXPECT_GE(offset - before, widest) << round;
    widest = offset - before;
  }
  EXPECT_GE(widest, 10'000);
  for (int round = 0; round < 20; ++round) Claim(offsets);
  offsets.Done(offsets.Add(offset++));
  EXPECT_LE(offsets.MakeCommit(true).claim - offset, 100'000);
}

TEST(OffsetsTest, WhatADeadOwnerMayHaveHeldIsSuspect) {
  Offsets owner(100);
  Claim(owner);
  const uint64_t first = owner.Add(100);
  owner.Add(101);
  owner.Done(owner.Add(102));
  owner.Done(first);
  const Offsets::Commit last = owner.MakeCommit(true);
  EXPECT_EQ(last.position, 101);
  Offsets next = Offsets::Resume(last.position, last.metadata);
  Claim(next);
  EXPECT_EQ(next.Admit(101), Admission::kDeliver);
  EXPECT_TRUE(next.IsSuspect(101));
  EXPECT_EQ(next.Admit(102), Admission::kDone);
  EXPECT_TRUE(next.IsSuspect(103)) << "claimed, so it may have been read";
  EXPECT_FALSE(next.IsSuspect(last.claim));
}

TEST(OffsetsTest, AfterAnOrderlyEndNothingIsSuspectAndNothingRepeated) {
  Offsets owner(100);
  Claim(owner);
  owner.Add(100);
  owner.Done(owner.Add(101));
  const Offsets::Commit last = owner.MakeCommit(false);
  EXPECT_EQ(last.position, 100);
  Offsets next = Offsets::Resume(last.position, last.metadata);
  EXPECT_FALSE(next.IsSuspect(100));
  Claim(next);
  EXPECT_EQ(next.Admit(100), Admission::kDeliver);
  EXPECT_EQ(next.Admit(101), Admission::kDone);
  EXPECT_EQ(next.Admit(102), Admission::kDeliver);
}

// What is passed over is not forgotten by the commits of the one who passed it.
TEST(OffsetsTest, WhatWasDoneBeforeIsDoneForTheOwnerAfterTheNext) {
  Offsets first(100);
  Claim(first);
  first.Add(100);
  for (const int64_t offset : {101, 102}) first.Done(first.Add(offset));
  Offsets::Commit last = first.MakeCommit(false);
  Offsets second = Offsets::Resume(last.position, last.metadata);
  Claim(second);
  const uint64_t held = second.Add(100);
  for (const int64_t offset : {101, 102}) EXPECT_EQ(second.Admit(offset), Admission::kDone);
  EXPECT_EQ(second.next(), 103);
  EXPECT_EQ(second.Admit(103), Admission::kDeliver);
  second.Done(second.Add(103));
  last = second.MakeCommit(false);
  EXPECT_EQ(last.position, 100);
  Offsets third = Offsets::Resume(last.position, last.metadata);
  Claim(third);
  EXPECT_EQ(third.Admit(100), Admission::kDeliver);
  for (const int64_t offset : {101, 102, 103}) EXPECT_EQ(third.Admit(offset), Admission::kDone) << offset;
  EXPECT_EQ(third.position(), 104) << "nothing of it is in hand";
  second.Done(held);
  EXPECT_EQ(second.position(), 104);
}

TEST(OffsetsTest, SuspectsThatWereNotReachedStaySuspect) {
  Offsets owner(0);
  Claim(owner);
  Offsets second = Offsets::Resume(0, owner.MakeCommit(true).metadata);
  Claim(second);
  second.Done(second.Add(0));
  const Offsets::Commit orderly = second.MakeCommit(false);
  const Offsets third = Offsets::Resume(orderly.position, orderly.metadata);
  EXPECT_TRUE(third.IsSuspect(1));
}

// Too many to handle one by one: the claims are small, so that the next end leaves few.
TEST(OffsetsTest, ManySuspectsAreClaimedInSmallSteps) {
  Offsets next = Offsets::Resume(0, "m1;e50000");
  EXPECT_FALSE(next.IsSuspect(0));
  int64_t offset = 0;
  for (int round = 0; round < 20; ++round) {
    const Offsets::Commit commit = next.MakeCommit(true);
    next.Committed(commit);
    EXPECT_LE(commit.claim - offset, 500) << round;
    while (next.Admit(offset) == Admission::kDeliver) next.Done(next.Add(offset++));
  }
  const Offsets::Commit last = next.MakeCommit(true);
  EXPECT_EQ(last.metadata.substr(0, 4), "m1;e") << last.metadata << "and the rest of it stays marked";
}

TEST(OffsetsTest, NotesLiveUntilTheirMessageIsDone) {
  Offsets owner(7);
  Claim(owner);
  const uint64_t first = owner.Add(7);
  const uint64_t second = owner.Add(8);
  owner.SetNote(7, {.attempts = 1, .handler = HandlerHash("h")});
  owner.SetNote(8, {.attempts = 3, .not_before = absl::FromUnixMicros(77), .handler = HandlerHash("other")});
  owner.Done(first);
  const Offsets::Commit commit = owner.MakeCommit(false);
  const Offsets next = Offsets::Resume(commit.position, commit.metadata);
  EXPECT_EQ(next.FindNote(7), nullptr);
  const Offsets::Note* note = next.FindNote(8);
  ASSERT_NE(note, nullptr) << commit.metadata;
  EXPECT_EQ(note->attempts, 3);
  EXPECT_EQ(note->not_before, absl::FromUnixMicros(77));
  EXPECT_EQ(note->handler, HandlerHash("other"));
  owner.Done(second);
  EXPECT_EQ(owner.MakeCommit(false).metadata, "m1");
}

TEST(OffsetsTest, WhatIsInHandAndWhatWaitsCanBeLookedAt) {
  Offsets owner(10);
  Claim(owner);
  owner.Add(10);
  owner.Done(owner.Add(11));
  owner.Add(12);
  const Offsets::Commit open = owner.MakeCommit(true);
  Offsets::Counts counts = Offsets::Look(open.position, open.metadata, 20);
  EXPECT_EQ(counts.in_hand, 2);
  EXPECT_EQ(counts.waiting, 7);
  const Offsets::Commit orderly = owner.MakeCommit(false);
  counts = Offsets::Look(orderly.position, orderly.metadata, 20);
  EXPECT_EQ(counts.in_hand, 0);
  EXPECT_EQ(counts.waiting, 9);
  EXPECT_EQ(Offsets::Look(3, "what others write", 5).waiting, 2);
}

TEST(OffsetsTest, ForeignAndBrokenMetadataSaysNothing) {
  EXPECT_EQ(Offsets::Resume(3, std::string_view()).position(), 3);
  for (const char* text :
       {"", "m", "m2;e5", "hello", "m1;e", "m1;e-1", "m1;ex", "m1;b!", "m1;r1", "m1;r1-0", "m1;r-1-2",
        "m1;r9223372036854775807-9223372036854775807", "m1;n1,2,3", "m1;n-1,2,0,ff", "m1;n1,2,0,xyz"}) {
    Offsets offsets = Offsets::Resume(3, text);
    EXPECT_EQ(offsets.position(), 3) << text;
    EXPECT_FALSE(offsets.IsSuspect(3)) << text;
    EXPECT_EQ(offsets.Admit(4), Admission::kWait) << text;
    EXPECT_EQ(offsets.FindNote(4), nullptr) << text;
  }
  EXPECT_TRUE(Offsets::Resume(3, "m1;e5;zfuture").IsSuspect(3)) << "what a later version adds is passed over";
}

// Whatever is done, in whatever order: the next owner is given all that is not, and, as far as the text reaches,
// nothing that is.
TEST(OffsetsTest, RandomRunsAreKept) {
  std::mt19937 random(8);
  for (int round = 0; round < 300; ++round) {
    const int64_t start = random() % 1'000;
    const int count = 1 + static_cast<int>(random() % (round % 3 == 0 ? 30'000 : 300));
    const unsigned share = 1 + random() % 100;
    Offsets owner(start);
    std::set<int64_t> done;
    std::vector<std::pair<int64_t, uint64_t>> all;
    int64_t offset = start;
    for (int i = 0; i < count; ++i) {
      all.emplace_back(offset, owner.Add(offset));
      offset += random() % 10 == 0 ? 2 : 1;
    }
    for (const auto& [at, number] : all) {
      if (random() % 100 >= share) continue;
      owner.Done(number);
      done.insert(at);
    }
    const Offsets::Commit commit = owner.MakeCommit(random() % 2 == 0);
    ASSERT_LE(commit.metadata.size(), kMaxMetadata);
    Offsets next = Offsets::Resume(commit.position, commit.metadata);
    for (const auto& [at, number] : all) {
      if (at < commit.position) {
        ASSERT_TRUE(done.contains(at));
        continue;
      }
      const bool skipped = next.Admit(at) == Admission::kDone;
      ASSERT_TRUE(!skipped || done.contains(at)) << at << " is not done: " << commit.metadata;
      if (at < commit.position + 10'000) {
        ASSERT_EQ(skipped, done.contains(at)) << at << " in " << commit.metadata.substr(0, 100);
      }
    }
  }
}

}  // namespace
}  // namespace messaging::kafka
