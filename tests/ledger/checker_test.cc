#include "tests/ledger/checker.h"

#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ledger {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A forged ledger; time goes on by a millisecond with each entry.
class Forged {
 public:
  Forged& Sent(const std::string& id, const std::string& key = "", int64_t sequence = 0) {
    return Add({.event = Event::kSent, .id = id, .key = key, .sequence = sequence});
  }
  Forged& Accepted(const std::string& id) { return Add({.event = Event::kAccepted, .id = id}); }
  Forged& SentAndAccepted(const std::string& id, const std::string& key = "", int64_t sequence = 0) {
    return Sent(id, key, sequence).Accepted(id);
  }
  Forged& Begin(const std::string& id, const std::string& key, pid_t pid = 1) {
    return Add({.event = Event::kBegin, .pid = pid, .id = id, .key = key, .handler = "h"});
  }
  Forged& Handled(const std::string& id, const std::string& handler = "h", pid_t pid = 1) {
    return Add({.event = Event::kHandled, .pid = pid, .id = id, .handler = handler});
  }
  Forged& Dead(const std::string& id, const std::string& handler = "h") {
    return Add({.event = Event::kDead, .id = id, .handler = handler});
  }
  Forged& Add(Entry entry) {
    if (entry.pid == 0) entry.pid = 1;
    entry.at = now_ += absl::Milliseconds(1);
    entries_.push_back(std::move(entry));
    return *this;
  }
  Forged& Pass(absl::Duration time) {
    now_ += time;
    return *this;
  }
  Report Check(const CheckOptions& options = {}) const { return ledger::Check(entries_, options); }

 private:
  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  std::vector<Entry> entries_;
};

TEST(Checker, NothingIsFoundInARunWithoutFaults) {
  const Report report = Forged()
                            .SentAndAccepted("a", "k", 0)
                            .SentAndAccepted("b", "k", 1)
                            .SentAndAccepted("c")
                            .Begin("a", "k")
                            .Handled("a")
                            .Begin("b", "k")
                            .Handled("b")
                            .Dead("c")
                            .Check();
  EXPECT_TRUE(report.ok()) << report.ToString();
  EXPECT_EQ(report.attempted, 3);
  EXPECT_EQ(report.accepted, 3);
  EXPECT_EQ(report.handled, 2);
  EXPECT_EQ(report.dead, 1);
  EXPECT_EQ(report.duplicates, 0);
  EXPECT_THAT(report.findings, ElementsAre());
}

TEST(Checker, AcceptedAndNeverHandledIsLost) {
  const Report report = Forged().SentAndAccepted("a").SentAndAccepted("b").Begin("b", "").Handled("a").Check();
  EXPECT_EQ(report.lost, 1);
  EXPECT_FALSE(report.ok());
  EXPECT_THAT(report.findings, ElementsAre("lost: b"));
}

TEST(Checker, UnknownAndRefusedAreNotLostAndMayHaveBeenHandled) {
  const Report report = Forged()
                            .Sent("a")
                            .Add({.event = Event::kUnknown, .id = "a"})
                            .Sent("b")
                            .Add({.event = Event::kUnknown, .id = "b"})
                            .Sent("c")
                            .Add({.event = Event::kRefused, .id = "c"})
                            .Handled("b")
                            .Check();
  EXPECT_TRUE(report.ok()) << report.ToString();
  EXPECT_EQ(report.unknown, 2);
  EXPECT_EQ(report.refused, 1);
}

TEST(Checker, HandledOrDeadOrAcceptedWithoutAnAttemptIsUnexpected) {
  EXPECT_EQ(Forged().Handled("a").Check().unexpected, 1);
  EXPECT_EQ(Forged().Dead("a").Check().unexpected, 1);
  EXPECT_EQ(Forged().Accepted("a").Handled("a").Check().unexpected, 1);
  EXPECT_FALSE(Forged().Handled("a").Check().ok());
}

TEST(Checker, ASecondHandlingByTheSameHandlerIsADuplicate) {
  Forged forged;
  forged.SentAndAccepted("a").Handled("a", "h").Handled("a", "other").Handled("a", "h").Handled("a", "h");
  EXPECT_EQ(forged.Check().duplicates, 2);
  EXPECT_TRUE(forged.Check().ok());
}

TEST(Checker, EachNamedHandlerHasToHandleEachMessage) {
  Forged forged;
  forged.SentAndAccepted("a").SentAndAccepted("b").Handled("a", "x").Handled("a", "y").Handled("b", "x");
  EXPECT_EQ(forged.Check().lost, 0);
  const Report report = forged.Check({.handlers = {"x", "y"}});
  EXPECT_EQ(report.lost, 1);
  EXPECT_THAT(report.findings, ElementsAre("lost: b by y"));
  forged.Dead("b", "y");
  EXPECT_EQ(forged.Check({.handlers = {"x", "y"}}).lost, 0);
}

TEST(Checker, AnEarlierMessageOfAKeyHandledLaterBreaksOrder) {
  Forged forged;
  forged.SentAndAccepted("a", "k", 0).SentAndAccepted("b", "k", 1).SentAndAccepted("c", "other", 0);
  EXPECT_EQ(Forged(forged).Handled("c").Handled("a").Handled("b").Check().order_violations, 0);
  const Report report = Forged(forged).Handled("b").Handled("c").Handled("a").Check();
  EXPECT_EQ(report.order_violations, 1);
  EXPECT_FALSE(report.ok());
  EXPECT_THAT(report.findings, ElementsAre(HasSubstr("a (0 of key k) was handled after number 1")));
}

TEST(Checker, ARepeatIsNotOutOfOrder) {
  const Report report = Forged()
                            .SentAndAccepted("a", "k", 0)
                            .SentAndAccepted("b", "k", 1)
                            .Handled("a")
                            .Handled("b")
                            .Handled("a")
                            .Handled("b")
                            .Check();
  EXPECT_EQ(report.order_violations, 0) << report.ToString();
  EXPECT_EQ(report.duplicates, 2);
}

TEST(Checker, TwoOfAKeyAtOnceBreakOrderAlsoInDifferentProcesses) {
  Forged forged;
  forged.SentAndAccepted("a", "k", 0).SentAndAccepted("b", "k", 1).Begin("a", "k", 1).Begin("b", "k", 2);
  forged.Handled("a", "h", 1).Handled("b", "h", 2);
  EXPECT_EQ(forged.Check().order_violations, 1);
}

TEST(Checker, AKilledProcessHoldsNothingAndAFailedAttemptNeither) {
  Forged forged;
  forged.SentAndAccepted("a", "k", 0).SentAndAccepted("b", "k", 1).Begin("a", "k", 1);
  EXPECT_EQ(Forged(forged).Begin("b", "k", 2).Check().order_violations, 1);
  EXPECT_EQ(Forged(forged).Add({.event = Event::kKilled, .pid = 1}).Begin("b", "k", 2).Check().order_violations, 0);
  EXPECT_EQ(Forged(forged).Add({.event = Event::kKilled, .pid = 3}).Begin("b", "k", 2).Check().order_violations, 1);
  Entry end = {.event = Event::kEnd, .pid = 1, .id = "a", .handler = "h"};
  EXPECT_EQ(Forged(forged).Add(end).Begin("b", "k", 2).Check().order_violations, 0);
}

TEST(Checker, TheLongestGapAndTheRecoveryAfterAKillAreMeasured) {
  const Report report = Forged()
                            .SentAndAccepted("a")
                            .SentAndAccepted("b")
                            .SentAndAccepted("c")
                            .Handled("a")
                            .Pass(absl::Milliseconds(400))
                            .Add({.event = Event::kKilled, .pid = 7})
                            .Pass(absl::Milliseconds(100))
                            .Handled("b")
                            .Pass(absl::Milliseconds(200))
                            .Handled("c")
                            .Check();
  EXPECT_EQ(report.longest_gap, absl::Milliseconds(502));
  EXPECT_EQ(report.longest_recovery, absl::Milliseconds(101));
}

TEST(Checker, FilesAreReadTogetherAndATornLastLineIsCounted) {
  const std::string one = testing::TempDir() + "/one.ledger";
  const std::string two = testing::TempDir() + "/two.ledger";
  Ledger::Open(one)->Append({.event = Event::kSent, .id = "a"});
  Ledger::Open(one)->Append({.event = Event::kAccepted, .id = "a"});
  Ledger::Open(two)->Append({.event = Event::kHandled, .id = "a", .handler = "h"});
  std::ofstream(two, std::ios::app) << "\n1234 55 handled a";
  absl::StatusOr<Report> report = CheckFiles({one, two});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->ok()) << report->ToString();
  EXPECT_EQ(report->handled, 1);
  EXPECT_EQ(report->torn, 1);
  EXPECT_THAT(report->ToString(), HasSubstr("lost 0, unexpected 0, duplicates 0"));
  EXPECT_EQ(CheckFiles({"/nowhere/ledger"}).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace ledger
