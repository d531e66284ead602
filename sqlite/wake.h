// How the driver's thread sleeps: until this process has something for it, another process says that it has committed
// something, a member's process has ended, or a time has come.
#ifndef SQLITE_WAKE_H_
#define SQLITE_WAKE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace messaging::sqlite {

// Other processes are heard of by inotify(7): a byte written to the wake file, and the closing of the lock file, which
// a process's end does, too. No polling.
class Wake {
 public:
  struct Event {
    bool others = false;  // Another process has committed something.
    bool ended = false;   // A process that used the database may have ended.
  };
  static absl::StatusOr<std::unique_ptr<Wake>> Open(const std::string& wake_file, const std::string& lock_file);
  ~Wake();

  Event Wait(absl::Duration limit);  // The driver's thread.
  void Notify();                     // Ends Wait. Any thread.
  void TellOthers();                 // Ends Wait in every process, this one included.

 private:
  Wake(int event, int inotify, int wake_file) : event_(event), inotify_(inotify), wake_file_(wake_file) {}
  const int event_;
  const int inotify_;
  const int wake_file_;
  int wake_watch_ = -1;
};

}  // namespace messaging::sqlite

#endif  // SQLITE_WAKE_H_
