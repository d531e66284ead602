// The driver's thread: it owns the connection, and does in one transaction what was asked for meanwhile: sends,
// verdicts and fetching of every subscription. The longer a commit takes, the more the next one carries.
#ifndef SQLITE_LOOP_H_
#define SQLITE_LOOP_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "messaging/outgoing.h"
#include "sqlite/file_clock.h"
#include "sqlite/member.h"
#include "sqlite/member_lock.h"
#include "sqlite/sqlite_broker.h"
#include "sqlite/store.h"
#include "sqlite/wake.h"

namespace messaging::sqlite {

class Loop {
 public:
  static absl::StatusOr<std::shared_ptr<Loop>> Open(const SqliteOptions& options);
  ~Loop();

  // Any thread; never block.
  void Publish(OutgoingPtr message);
  void Notify() { wake_->Notify(); }
  void Nudge() {  // There may be something to fetch, here and elsewhere.
    WantAll();
    wake_->TellOthers();
    Notify();
  }
  // Runs `work` in a transaction of its own on the loop's thread, and waits for it until `deadline`.
  absl::Status Run(std::function<absl::Status(Store&)> work, absl::Time deadline);

  // A subscription takes part, and ends.
  absl::Status Join(std::shared_ptr<Member> member);
  absl::Status Leave(const std::shared_ptr<Member>& member, absl::Time deadline);
  // Ends the thread; sends that were not stored resolve as unknown.
  void Stop();
  const FileClock& clock() const { return clock_; }
  absl::Time Now() const { return clock_.Now(); }  // In the file's time.

 private:
  struct Command {
    std::function<absl::Status(Store&)> work;
    absl::Status result = absl::OkStatus();
    bool done = false;
    bool abandoned = false;
  };
  // One transaction's worth.
  struct Round {
    std::vector<OutgoingPtr> sends;
    std::vector<absl::StatusOr<Receipt>> receipts;
    struct Verdicts {
      std::shared_ptr<Member> member;
      std::vector<Settlement> settlements;
      std::vector<int64_t> dropped;
    };
    std::vector<Verdicts> verdicts;
    std::vector<std::pair<std::shared_ptr<Member>, std::unique_ptr<Batch>>> fetched;
    bool frees = false;  // Others may have something to fetch after it.
    bool empty() const { return sends.empty() && verdicts.empty(); }
  };

  Loop(const SqliteOptions& options, const FileClock& clock, std::unique_ptr<Store> store,
       std::unique_ptr<MemberLocks> locks, std::unique_ptr<messaging::sqlite::Wake> wake)
      : options_(options), clock_(clock), store_(std::move(store)), locks_(std::move(locks)), wake_(std::move(wake)) {}

  void RunThread();
  void RunCommands();
  void Gather(Round& round);
  bool WantsFetch();
  absl::Status Transact(Round& round);
  absl::Status Apply(Round& round);
  absl::Status ApplyVerdicts(Round::Verdicts& verdicts, bool& frees);
  absl::Status FetchAll(Round& round);
  absl::Status FetchFor(const std::shared_ptr<Member>& member, Round& round);
  void Answer(Round& round);
  void Refuse(Round& round, const absl::Status& why);
  void FailAll(const absl::Status& why);
  void Deliver(Round& round);
  void Sleep();
  void WantAll();
  bool TakeOverFromDead();
  void CleanSometimes();
  absl::Status InTransaction(const std::function<absl::Status(Store&)>& work);

  const SqliteOptions options_;
  const FileClock clock_;
  const std::unique_ptr<Store> store_;
  const std::unique_ptr<MemberLocks> locks_;
  const std::unique_ptr<messaging::sqlite::Wake> wake_;

  absl::Mutex mutex_;
  absl::CondVar commanded_;
  std::deque<OutgoingPtr> sends_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::shared_ptr<Command>> commands_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Member>> members_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  // The loop's thread only.
  absl::Time next_due_ = absl::InfiniteFuture();
  absl::Time next_check_ = absl::InfinitePast();
  absl::Time next_clean_ = absl::InfinitePast();
  int64_t data_version_ = 0;
  bool complained_ = false;
  std::thread thread_;
};

}  // namespace messaging::sqlite

#endif  // SQLITE_LOOP_H_
