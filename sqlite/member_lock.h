// Whether a member's process lives: each member locks a byte of a file beside the database, and the kernel lets go of
// it when the process ends, however it ends. No process ids, no heartbeats, no clocks.
#ifndef SQLITE_MEMBER_LOCK_H_
#define SQLITE_MEMBER_LOCK_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace messaging::sqlite {

// Open file description locks (fcntl(2), F_OFD_SETLK): they belong to this object, not to the process, so that several
// of them in one process see each other, and no other descriptor's close loses them. Not inherited by programs it
// starts.
class MemberLocks {
 public:
  static absl::StatusOr<std::unique_ptr<MemberLocks>> Open(const std::string& path);
  ~MemberLocks();

  absl::Status Lock(int64_t member);
  void Unlock(int64_t member);
  // Whether another object holds it: its member lives. Own locks do not count.
  bool HeldElsewhere(int64_t member) const;

 private:
  explicit MemberLocks(int file) : file_(file) {}
  const int file_;
};

}  // namespace messaging::sqlite

#endif  // SQLITE_MEMBER_LOCK_H_
