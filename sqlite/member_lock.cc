#include "sqlite/member_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace messaging::sqlite {
namespace {

struct flock ByteOf(int64_t member, short type) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = member;
  lock.l_len = 1;
  return lock;
}

}  // namespace

absl::StatusOr<std::unique_ptr<MemberLocks>> MemberLocks::Open(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return absl::PermissionDeniedError(absl::StrCat("lock file ", path, ": ", std::strerror(errno)));
  return std::unique_ptr<MemberLocks>(new MemberLocks(file));
}

MemberLocks::~MemberLocks() { close(file_); }

absl::Status MemberLocks::Lock(int64_t member) {
  struct flock lock = ByteOf(member, F_WRLCK);
  if (fcntl(file_, F_OFD_SETLK, &lock) == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("locking member ", member, ": ", std::strerror(errno)));
}

void MemberLocks::Unlock(int64_t member) {
  struct flock lock = ByteOf(member, F_UNLCK);
  fcntl(file_, F_OFD_SETLK, &lock);
}

bool MemberLocks::HeldElsewhere(int64_t member) const {
  struct flock lock = ByteOf(member, F_WRLCK);
  // Where it cannot be told, nothing is taken from anybody.
  return fcntl(file_, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

}  // namespace messaging::sqlite
