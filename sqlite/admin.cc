#include "sqlite/admin.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "sqlite/database.h"
#include "sqlite/member_lock.h"
#include "sqlite/store.h"

namespace messaging::sqlite {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(30);
constexpr absl::Duration kPoll = absl::Milliseconds(100);

using Level = Finding::Level;

// Reads all pages, by a connection of its own: nobody waits for it.
absl::StatusOr<Finding> CheckPages(const std::string& path) {
  const Finding damaged{.level = Level::kError,
                        .subject = "pages",
                        .message = absl::StrCat(path, " is damaged"),
                        .cure = std::string(kDamagedCure)};
  absl::StatusOr<std::unique_ptr<Database>> database = Database::Open(path, /*full_sync=*/true, kLimit);
  if (!database.ok()) return database.status();
  absl::StatusOr<Statement> check = (*database)->Prepare("PRAGMA quick_check(1)");
  if (!check.ok()) return absl::IsDataLoss(check.status()) ? damaged : absl::StatusOr<Finding>(check.status());
  const absl::StatusOr<bool> row = check->Step();
  if (!row.ok()) return absl::IsDataLoss(row.status()) ? damaged : absl::StatusOr<Finding>(row.status());
  return *row && check->Blob(0) == "ok" ? Finding{.subject = "pages", .message = "none is damaged"} : damaged;
}

}  // namespace

absl::StatusOr<std::vector<TopicInfo>> SqliteAdmin::Topics(const std::string& topic) {
  absl::StatusOr<std::unique_ptr<Store>> store = Store::Open({.path = options_.path});
  if (!store.ok()) return store.status();
  return (*store)->ListTopics(topic);
}

absl::Status SqliteAdmin::Declare(const TopicDeclaration& declaration) {
  if (!declaration.options.settings.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("sqlite knows no settings of a topic, and none called ",
                                                   declaration.options.settings.begin()->first));
  }
  return loop_->Run(
      [declaration](Store& store) {
        absl::StatusOr<int64_t> topic = store.Topic(declaration.topic);
        if (!topic.ok()) return topic.status();
        if (absl::Status listed = store.ListAgain(*topic); !listed.ok()) return listed;
        for (const std::string& name : declaration.groups) {
          absl::StatusOr<int64_t> group = store.Group(name);
          if (!group.ok()) return group.status();
          if (absl::Status joined = store.Join(*group, *topic, StartAt::kBeginning); !joined.ok()) return joined;
        }
        return absl::OkStatus();
      },
      absl::Now() + kLimit);
}

absl::Status SqliteAdmin::Remove(const std::string& topic) {
  return loop_->Run([topic](Store& store) { return store.RemoveTopic(topic); }, absl::Now() + kLimit);
}

absl::StatusOr<std::vector<GroupLag>> SqliteAdmin::Lag(const std::string& topic, const std::string& group) {
  absl::StatusOr<std::unique_ptr<Store>> store = Store::Open({.path = options_.path});
  if (!store.ok()) return store.status();
  absl::StatusOr<std::unique_ptr<MemberLocks>> locks = MemberLocks::Open(options_.path + "-lock");
  if (!locks.ok()) return locks.status();
  auto lags =
      (*store)->Lags(topic, group, loop_->Now(), [&](int64_t member) { return (*locks)->HeldElsewhere(member); });
  if (!lags.ok()) return lags.status();
  for (GroupLag& lag : *lags) {
    if (lag.next_retry) *lag.next_retry += loop_->clock().ToWall();
    if (lag.oldest) *lag.oldest += loop_->clock().ToWall();
  }
  return lags;
}

absl::StatusOr<std::vector<Finding>> SqliteAdmin::Check(const std::string& group,
                                                        const std::vector<TopicPlan>& topics) {
  std::vector<Finding> findings;
  const absl::Time before = absl::Now();
  const absl::Status written = loop_->Run([](Store&) { return absl::OkStatus(); }, absl::Now() + kLimit);
  if (!written.ok()) return written;
  findings.push_back(
      {.subject = "file",
       .message = absl::StrCat(options_.path, " can be written, answered in ",
                               absl::FormatDuration(absl::Trunc(absl::Now() - before, absl::Microseconds(1))))});
  absl::StatusOr<Finding> pages = CheckPages(options_.path);
  if (!pages.ok()) return pages.status();
  findings.push_back(*std::move(pages));
  if (options_.full_synchronous) {
    findings.push_back({.subject = "durability", .message = "an accepted message is on the disk (synchronous FULL)"});
  } else {
    findings.push_back({.level = Level::kWarning,
                        .subject = "durability",
                        .message = "synchronous is NORMAL: the last accepted messages can be lost with the power",
                        .cure = "synchronous=FULL in the URL",
                        .expected = "synchronous FULL",
                        .found = "synchronous NORMAL"});
  }
  for (const TopicPlan& plan : topics) {
    absl::StatusOr<std::vector<TopicInfo>> found = Topics(plan.topic);
    if (!found.ok()) return found.status();
    Finding finding{.subject = absl::StrCat("topic ", plan.topic)};
    if (found->empty()) {
      finding.message = "is not there yet: its first message or consumer makes it";
    } else {
      const std::vector<std::string>& groups = (*found)[0].groups;
      const bool has_group = std::find(groups.begin(), groups.end(), group) != groups.end();
      finding.message = group.empty() ? "is there"
                        : has_group   ? absl::StrCat("is there, and group ", group)
                                      : absl::StrCat("is there; group ", group, " begins with its first consumer");
    }
    findings.push_back(std::move(finding));
  }
  return findings;
}

absl::Status SqliteAdmin::Tail(const TailOptions& options, std::function<bool(const Record&)> visit,
                               std::function<bool()> stop) {
  absl::StatusOr<std::unique_ptr<Store>> store = Store::Open({.path = options_.path});
  if (!store.ok()) return store.status();
  absl::StatusOr<std::vector<TopicInfo>> found = (*store)->ListTopics(options.topic);
  if (!found.ok()) return found.status();
  if (found->empty() && !options.follow) {
    return absl::NotFoundError(absl::StrCat(options_.path, " has no topic ", options.topic));
  }
  TailOptions first = options;
  if (first.since) *first.since -= loop_->clock().ToWall();
  absl::StatusOr<int64_t> next = (*store)->FirstToShow(first);
  int64_t version = -1;
  while (next.ok() && !stop()) {
    absl::StatusOr<int64_t> now = (*store)->DataVersion();  // Asked first: what comes meanwhile is seen next time.
    if (!now.ok()) return now.status();
    if (version != *now) next = (*store)->Show(options.topic, *next, visit);
    version = *now;
    if (!next.ok() || *next < 0 || !options.follow) break;
    absl::SleepFor(kPoll);
  }
  return next.status();
}

}  // namespace messaging::sqlite
