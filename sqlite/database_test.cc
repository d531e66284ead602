#include "sqlite/database.h"

#include <sys/wait.h>
#include <unistd.h>

#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace messaging::sqlite {
namespace {

// A process of its own that opens the file when `begin` is closed. Its exit code is 0 when it could.
pid_t OpenInAnotherProcess(const std::string& path, const int begin[2]) {
  const pid_t child = fork();
  if (child != 0) return child;
  close(begin[1]);
  char nothing;
  (void)!read(begin[0], &nothing, 1);
  absl::StatusOr<std::unique_ptr<Database>> database = Database::Open(path, true, absl::Seconds(10));
  if (!database.ok()) std::cerr << database.status() << std::endl;
  _exit(database.ok() ? 0 : 1);
}

// "database is locked", now and then, while another process turned the new file into a WAL database.
TEST(Database, ManyProcessesMayMakeAndOpenTheSameFileAtOnce) {
  for (int round = 0; round < 100; ++round) {
    const std::string path = absl::StrCat(::testing::TempDir(), "/many.", getpid(), ".", round, ".db");
    int begin[2];
    ASSERT_EQ(pipe(begin), 0);
    pid_t children[6];
    for (pid_t& child : children) child = OpenInAnotherProcess(path, begin);
    close(begin[0]);
    close(begin[1]);
    for (pid_t child : children) {
      int status = -1;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      EXPECT_EQ(status, 0) << "round " << round;
    }
    for (const char* end : {"", "-wal", "-shm"}) unlink(absl::StrCat(path, end).c_str());
  }
}

}  // namespace
}  // namespace messaging::sqlite
